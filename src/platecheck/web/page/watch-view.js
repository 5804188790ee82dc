// @ts-check
/** The view for a fixed camera: the verdict as large as possible, and the dishes counted. */

import { announce } from "./announce.js";
import { CameraChoice, closeCamera, openCamera, showCamera } from "./camera.js";
import { DishBoxes } from "./dish-boxes.js";
import { byId, icon } from "./elements.js";
import { errorMessage } from "./error-messages.js";
import { countsText } from "./inspection.js";
import { confidenceText, kindOf, labelName } from "./labels.js";
import { onLanguageChange, t } from "./language.js";
import { REOPEN_AFTER } from "./liveness.js";
import { isSoundOn, playSound, setSound } from "./sound.js";
import { Watch } from "./watch.js";
import { WatchLog } from "./watch-log.js";

export class WatchView {
  #video = byId("watch-video");
  #boxes = new DishBoxes(byId("watch-boxes"));
  #watch;
  #wakeLock = new WakeLock();
  #choice = new CameraChoice(byId("watch-camera-field"), byId("watch-camera"), () => this.start());
  #log;
  #message = "watchIdle"; // key of the text shown without dishes
  #stream = null;
  #starts = 0; // number of starts and stops
  #opening = false;
  #opened = 0; // when the camera was last opened

  /** @param {import("./inference-client.js").InferenceClient} client */
  constructor(client) {
    this.#log = new WatchLog(client);
    this.#watch = new Watch(client, this.#video);
    this.#watch.addEventListener("frame", (/** @type {CustomEvent} */ { detail }) =>
      this.#showFrame(detail),
    );
    this.#watch.addEventListener("detection", (/** @type {CustomEvent} */ { detail }) => {
      this.#log.add(detail);
      playSound(kindOf(detail.track.label));
    });
    this.#watch.addEventListener("error", (/** @type {CustomEvent} */ { detail }) =>
      this.#showError(detail),
    );
    this.#watch.addEventListener("stuck", (/** @type {CustomEvent} */ { detail }) =>
      this.#showStuck(detail),
    );
    this.#listenToControls();
    onLanguageChange(() => {
      this.#showControls();
      this.#show();
      this.#log.show();
    });
    this.#showControls();
    this.#show();
  }

  get isOn() {
    return this.#watch.isOn;
  }

  /** Whether reloading the page loses nothing. */
  get isEmpty() {
    return !this.isOn && this.#log.isEmpty;
  }

  /** Open the camera and watch. */
  async start() {
    this.stop();
    this.#showMessage("cameraStarting");
    try {
      if (!(await this.#openCamera())) return;
    } catch (error) {
      this.#showMessage(error.key ?? "cameraBusy");
      return;
    }
    this.#message = "watchWait";
    this.#watch.start();
    this.#wakeLock.set(true);
    this.#showControls();
    this.#show();
  }

  /** Open the camera and play its stream; return whether it is still wanted by then. */
  async #openCamera() {
    const starts = this.#starts; // watching may be stopped or restarted while the camera opens
    const isWanted = () => starts === this.#starts;
    this.#opening = true;
    this.#opened = Date.now();
    closeCamera(this.#stream);
    try {
      const stream = await openCamera();
      if (!isWanted()) {
        closeCamera(stream);
        return false;
      }
      this.#stream = stream;
      stream.getVideoTracks()[0].addEventListener("ended", () => closeCamera(stream));
      await showCamera(stream, this.#video);
      await this.#choice.show(stream);
    } catch (error) {
      if (isWanted()) throw error;
    } finally {
      if (isWanted()) this.#opening = false;
    }
    return isWanted();
  }

  /** Stop watching and close the camera. */
  stop() {
    this.#starts += 1;
    this.#opening = false;
    this.#watch.stop();
    this.#wakeLock.set(false);
    closeCamera(this.#stream);
    this.#stream = null;
    this.#video.srcObject = null;
    this.#boxes.clear();
    this.#message = "watchIdle";
    this.#showControls();
    this.#show();
  }

  #listenToControls() {
    this.#video.addEventListener("resize", ({ target }) => {
      const ratio = target.videoWidth / target.videoHeight;
      target.parentElement.style.setProperty("--ratio", ratio || 1);
    });
    byId("watch-toggle").addEventListener("click", () => (this.isOn ? this.stop() : this.start()));
    byId("watch-sound").addEventListener("change", ({ target }) => setSound(target.checked));
    byId("full-screen").addEventListener("click", () => byId("stage").requestFullscreen());
    byId("full-screen").hidden = !document.fullscreenEnabled;
    byId("leave-full-screen").addEventListener("click", () => document.exitFullscreen());
  }

  /** Show a message instead of dishes, and announce it. */
  #showMessage(key) {
    this.#message = key;
    this.#show();
    announce(t(key));
  }

  #showFrame({ width, height }) {
    this.#message = "watchWait"; // the error is over
    this.#show();
    const { dishes = [] } = this.#watch.inspection ?? {};
    this.#boxes.show({ dishes, width, height });
  }

  #showError(error) {
    this.#boxes.clear();
    this.#showVerdict("failed", error.status === 503 ? t("watchBusy") : errorMessage(error));
  }

  /** Hide the dishes while there is no new frame; reopen the camera if this lasts. */
  #showStuck({ reason, age }) {
    if (this.#opening) return; // the last frame is gone already
    this.#boxes.clear();
    if (this.#message === reason) this.#show();
    else this.#showMessage(reason);
    if (Math.min(age, Date.now() - this.#opened) > REOPEN_AFTER[reason]) this.#reopen();
  }

  async #reopen() {
    try {
      await this.#openCamera();
    } catch (error) {
      if (error.key !== "cameraRefused") return; // retried while it is stuck
      this.stop();
      this.#showMessage(error.key);
    }
  }

  #show() {
    const { inspection } = this.#watch;
    if (!inspection) {
      const resumes = this.isOn && this.#message in REOPEN_AFTER;
      this.#showVerdict("waiting", t(this.#message), resumes ? t("cameraResumes") : "");
      return;
    }
    const { verdict, dishes } = inspection;
    const confidence = dishes.length === 1 ? confidenceText(dishes[0]) : countsText(dishes);
    this.#showVerdict(kindOf(verdict), labelName(verdict), dishes.length ? confidence : "");
  }

  #showVerdict(kind, name, confidence = "") {
    const verdict = byId("watch-verdict");
    if (verdict.dataset.kind !== kind || !byId("watch-icon").firstChild) {
      verdict.dataset.kind = kind;
      byId("watch-icon").replaceChildren(icon(kind));
    }
    byId("watch-name").textContent = name;
    byId("watch-name").style.setProperty("--letters", name.length); // short words are larger
    verdict.classList.toggle("text-only", kind === "waiting" || kind === "failed");
    byId("watch-sure").textContent = confidence;
  }

  #showControls() {
    byId("watch-toggle").textContent = t(this.isOn ? "watchStop" : "watchStart");
    byId("watch-toggle").classList.toggle("primary", !this.isOn);
    byId("watch-sound").checked = isSoundOn();
    byId("stage").classList.toggle("on", this.isOn);
  }
}

/** Keeps the screen on, where supported. */
class WakeLock {
  #lock = null;
  #wanted = false;

  constructor() {
    // The browser releases the lock when the page is hidden.
    document.addEventListener("visibilitychange", () => this.#update());
  }

  /** @param {boolean} wanted whether to keep the screen on */
  set(wanted) {
    this.#wanted = wanted;
    this.#update();
  }

  async #update() {
    if (!this.#wanted) {
      await this.#lock?.release();
      this.#lock = null;
    } else if (document.visibilityState === "visible") {
      this.#lock = await navigator.wakeLock?.request("screen").catch(() => null); // low battery
    }
  }
}
