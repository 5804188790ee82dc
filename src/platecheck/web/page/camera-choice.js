// @ts-check
/** Select one of several cameras. */

import { cameraId, chooseCamera, listCameras } from "./camera.js";
import { make } from "./elements.js";
import { t } from "./language.js";

export class CameraChoice {
  #field;
  #select;

  /**
   * @param {HTMLElement} field shown if there are several cameras
   * @param {HTMLSelectElement} select
   * @param {() => void} onChoice called to open the chosen camera
   */
  constructor(field, select, onChoice) {
    this.#field = field;
    this.#select = select;
    select.addEventListener("change", () => {
      chooseCamera(select.value);
      onChoice();
    });
  }

  /**
   * List the cameras. Their names are known once one is open.
   *
   * @param {MediaStream} stream of the open camera
   */
  async show(stream) {
    const cameras = await listCameras();
    this.#field.hidden = cameras.length < 2;
    this.#select.replaceChildren(
      ...cameras.map(({ deviceId, label }, index) =>
        make("option", {
          value: deviceId,
          textContent: label || t("cameraNumber", { count: index + 1 }),
          selected: deviceId === cameraId(stream),
        }),
      ),
    );
  }
}
