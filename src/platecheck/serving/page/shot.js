/** Taking one photo: with the camera in the page, or with the phone's own camera app. */

import { CameraChoice } from "./camera-choice.js";
import { canUseCamera, closeCamera, openCamera, showCamera } from "./camera.js";
import { byId } from "./elements.js";
import { t } from "./language.js";
import { Liveness, nextFrame, REOPEN_AFTER } from "./liveness.js";
import { jpeg, LARGEST_SIDE } from "./prepare.js";

const CHECK_EVERY = 500; // milliseconds

export class Shot {
  #dialog = byId("camera-dialog");
  #video = byId("camera-video");
  #choice = new CameraChoice(byId("camera-field"), byId("camera-choice"), () => this.#start());
  #stream = null;
  #liveness = null;
  #shooting = false;
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
    setInterval(() => this.#check(), CHECK_EVERY);
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
      this.#liveness = new Liveness();
      this.#showWhyOld(null);
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

  /** Take no photo of a picture that is old, and open a camera anew that stays stuck. */
  #check() {
    if (!this.#liveness) return;
    const why = this.#liveness.whyOld(this.#video);
    if (this.#liveness.age > REOPEN_AFTER[why]) this.#start();
    else this.#showWhyOld(why);
  }

  #showWhyOld(why) {
    const message = why ? t(why) : "";
    byId("shoot").disabled = Boolean(why) || this.#shooting;
    byId("without-camera").hidden = !why;
    if (byId("camera-message").textContent !== message) {
      byId("camera-message").textContent = message;
    }
  }

  #stop() {
    closeCamera(this.#stream);
    this.#stream = null;
    this.#liveness = null;
    this.#video.srcObject = null;
  }

  async #shoot() {
    if (byId("shoot").disabled) return;
    const stream = this.#stream;
    this.#shooting = true; // a tap that comes twice takes one photo
    this.#check();
    const frame = await nextFrame(this.#video, LARGEST_SIDE);
    this.#shooting = false;
    if (stream !== this.#stream) return; // it was closed, or another camera was chosen
    if (!frame) return this.#check();
    const blob = await jpeg(frame);
    this.#dialog.close();
    const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "-");
    this.#onPhoto(new File([blob], `photo-${time}.jpg`, { type: blob.type }));
  }
}

/** Whether a file field can open a camera app: on phones and tablets, which are touched. */
function hasCameraApp() {
  return matchMedia("(pointer: coarse)").matches;
}
