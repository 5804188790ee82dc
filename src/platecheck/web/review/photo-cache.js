// @ts-check
/** Prefetch the photos to be shown next. */

import { fetchPhoto } from "./review-service.js";

const LARGE = 2048;

export class PhotoCache {
  #urls = new Map(); // promises of object URLs by photo

  /**
   * Fetch these photos and release all others.
   *
   * @param {string[]} photos
   */
  prefetch(photos) {
    for (const [photo, url] of this.#urls) {
      if (photos.includes(photo)) continue;
      this.#urls.delete(photo);
      url.then(URL.revokeObjectURL, () => null);
    }
    for (const photo of photos) {
      if (!this.#urls.has(photo)) {
        const url = fetchPhoto(photo, LARGE).then((blob) => URL.createObjectURL(blob));
        url.catch(() => null); // reported when the photo is shown
        this.#urls.set(photo, url);
      }
    }
  }

  /**
   * @param {string} photo
   * @returns {Promise<string>|undefined} object URL of a prefetched photo
   */
  get(photo) {
    return this.#urls.get(photo);
  }
}
