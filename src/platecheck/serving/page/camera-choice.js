/** A list to choose one of several cameras from. */

import { cameraOf, chooseCamera, listCameras } from "./camera.js";
import { make } from "./elements.js";
import { t } from "./language.js";

export class CameraChoice {
  #field;
  #select;

  /**
   * @param {HTMLElement} field shown where there is a choice
   * @param {HTMLSelectElement} select
   * @param {() => void} onChoice another camera is to be opened
   */
  constructor(field, select, onChoice) {
    this.#field = field;
    this.#select = select;
    select.addEventListener("change", () => {
      chooseCamera(select.value);
      onChoice();
    });
  }

  /** Show which cameras there are, now that one is open and their names are known. */
  async show(stream) {
    const cameras = await listCameras();
    this.#field.hidden = cameras.length < 2;
    this.#select.replaceChildren(
      ...cameras.map(({ deviceId, label }, index) =>
        make("option", {
          value: deviceId,
          textContent: label || t("cameraNumber", { count: index + 1 }),
          selected: deviceId === cameraOf(stream),
        }),
      ),
    );
  }
}
