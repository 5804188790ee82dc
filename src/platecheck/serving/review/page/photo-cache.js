/** Photos that are shown soon are fetched before. */

import { fetchPhoto } from "./review-service.js";

const LARGE = 2048;

export class PhotoCache {
  #urls = new Map(); // promises of addresses, by photo

  /** Fetch these photos and let go of all others. */
  keep(photos) {
    for (const [photo, url] of this.#urls) {
      if (photos.includes(photo)) continue;
      this.#urls.delete(photo);
      url.then(URL.revokeObjectURL, () => null);
    }
    for (const photo of photos) {
      if (!this.#urls.has(photo)) {
        const url = fetchPhoto(photo, LARGE).then((blob) => URL.createObjectURL(blob));
        url.catch(() => null); // whoever shows it hears of it
        this.#urls.set(photo, url);
      }
    }
  }

  /** Address of a photo that is kept. */
  get(photo) {
    return this.#urls.get(photo);
  }
}
