/** Taking one photo: with the camera in the page, or with the phone's own camera app. */

import { CameraChoice } from "./camera-choice.js";
import { canUseCamera, closeCamera, openCamera, showCamera } from "./camera.js";
import { byId } from "./elements.js";
import { t } from "./language.js";
import { jpeg, LARGEST_SIDE, scaled } from "./prepare.js";

export class Shot {
  #dialog = byId("camera-dialog");
  #video = byId("camera-video");
  #choice = new CameraChoice(byId("camera-field"), byId("camera-choice"), () => this.#start());
  #stream = null;
  #onPhoto;

  /** @param {(file: File) => void} onPhoto */
  constructor(onPhoto) {
    this.#onPhoto = onPhoto;
    byId("shoot").addEventListener("click", () => this.#shoot());
    byId("camera-close").addEventListener("click", () => this.#dialog.close());
    byId("without-camera").addEventListener("click", () => {
      this.#dialog.close();
      byId(hasCameraApp() ? "phone-camera" : "files").click();
    });
    this.#dialog.addEventListener("close", () => this.#stop());
  }

  /** Take a photo; where the page may not use the camera, the phone's app does. */
  open() {
    if (!canUseCamera()) {
      byId("phone-camera").click();
      return;
    }
    this.#dialog.showModal();
    this.#start();
  }

  async #start() {
    this.#stop();
    byId("shoot").disabled = true;
    this.#showWhetherThereIsOne(true);
    byId("camera-message").textContent = t("cameraStarting");
    try {
      const stream = await openCamera();
      if (!this.#dialog.open) return closeCamera(stream);
      this.#stream = stream;
      await showCamera(stream, this.#video);
      await this.#choice.show(stream);
      byId("camera-message").textContent = "";
      byId("shoot").disabled = false;
      byId("shoot").focus();
    } catch (error) {
      byId("camera-message").textContent = t(error.key ?? "cameraBusy");
      this.#showWhetherThereIsOne(false);
      byId("without-camera").focus();
    }
  }

  /** Show what is of use with a camera, or without. */
  #showWhetherThereIsOne(camera) {
    this.#video.hidden = !camera;
    byId("shoot").hidden = !camera;
    byId("without-camera").hidden = camera;
    byId("without-camera").dataset.t = hasCameraApp() ? "phoneCamera" : "chooseInstead";
    byId("without-camera").textContent = t(byId("without-camera").dataset.t);
  }

  #stop() {
    closeCamera(this.#stream);
    this.#stream = null;
    this.#video.srcObject = null;
  }

  async #shoot() {
    if (byId("shoot").disabled) return;
    byId("shoot").disabled = true; // a tap that comes twice takes one photo
    const blob = await jpeg(scaled(this.#video, LARGEST_SIDE));
    this.#dialog.close();
    const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "-");
    this.#onPhoto(new File([blob], `photo-${time}.jpg`, { type: blob.type }));
  }
}

/** Whether a file field can open a camera app: on phones and tablets, which are touched. */
function hasCameraApp() {
  return matchMedia("(pointer: coarse)").matches;
}
