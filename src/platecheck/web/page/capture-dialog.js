// @ts-check
/** Take a photo with the camera, or with the phone's camera app. */

import { CameraChoice, canUseCamera, closeCamera, openCamera, showCamera } from "./camera.js";
import { byId } from "./elements.js";
import { t } from "./language.js";
import { Liveness, nextFrame, REOPEN_AFTER } from "./liveness.js";
import { jpeg, LARGEST_SIDE } from "./prepare.js";

const CHECK_INTERVAL = 500; // milliseconds

export class CaptureDialog {
  #dialog = byId("camera-dialog");
  #video = byId("camera-video");
  #choice = new CameraChoice(byId("camera-field"), byId("camera-choice"), () => this.#start());
  #stream = null;
  #liveness = null;
  #capturing = false;
  #onPhoto;

  /** @param {(file: File) => void} onPhoto */
  constructor(onPhoto) {
    this.#onPhoto = onPhoto;
    byId("capture").addEventListener("click", () => this.#capture());
    byId("camera-close").addEventListener("click", () => this.#dialog.close());
    byId("without-camera").addEventListener("click", () => {
      this.#dialog.close();
      byId(hasCameraApp() ? "phone-camera" : "files").click();
    });
    this.#dialog.addEventListener("close", () => this.#stop());
    setInterval(() => this.#check(), CHECK_INTERVAL);
  }

  /** Open the dialog, or the phone's camera app if the page may not use the camera. */
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
    byId("capture").disabled = true;
    this.#showControls(true);
    byId("camera-message").textContent = t("cameraStarting");
    try {
      const stream = await openCamera();
      if (!this.#dialog.open) return closeCamera(stream);
      this.#stream = stream;
      await showCamera(stream, this.#video);
      await this.#choice.show(stream);
      this.#liveness = new Liveness();
      this.#showStaleReason(null);
      byId("capture").focus();
    } catch (error) {
      byId("camera-message").textContent = t(error.key ?? "cameraBusy");
      this.#showControls(false);
      byId("without-camera").focus();
    }
  }

  /** Show the controls for taking a photo with the camera or without it. */
  #showControls(camera) {
    this.#video.hidden = !camera;
    byId("capture").hidden = !camera;
    byId("without-camera").hidden = camera;
    byId("without-camera").dataset.t = hasCameraApp() ? "phoneCamera" : "chooseInstead";
    byId("without-camera").textContent = t(byId("without-camera").dataset.t);
  }

  /** Disable the button while the camera is stuck, and reopen it if it stays so. */
  #check() {
    if (!this.#liveness) return;
    const reason = this.#liveness.staleReason(this.#video);
    if (this.#liveness.age > REOPEN_AFTER[reason]) this.#start();
    else this.#showStaleReason(reason);
  }

  #showStaleReason(reason) {
    const message = reason ? t(reason) : "";
    byId("capture").disabled = Boolean(reason) || this.#capturing;
    byId("without-camera").hidden = !reason;
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

  async #capture() {
    if (byId("capture").disabled) return;
    const stream = this.#stream;
    this.#capturing = true; // a double tap takes one photo
    this.#check();
    const frame = await nextFrame(this.#video, LARGEST_SIDE);
    this.#capturing = false;
    if (stream !== this.#stream) return; // closed, or another camera chosen
    if (!frame) return this.#check();
    const blob = await jpeg(frame);
    this.#dialog.close();
    const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "-");
    this.#onPhoto(new File([blob], `photo-${time}.jpg`, { type: blob.type }));
  }
}

/** Whether a file input can open a camera app, as on phones and tablets. */
function hasCameraApp() {
  return matchMedia("(pointer: coarse)").matches;
}
