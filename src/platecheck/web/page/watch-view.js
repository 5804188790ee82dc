// @ts-check
/** The view for a fixed camera: the label as large as possible, and a log of detections. */

import { announce } from "./announce.js";
import { CameraChoice, closeCamera, openCamera, showCamera } from "./camera.js";
import { predictionsToCsv, saveFile } from "./csv.js";
import { byId, icon, make } from "./elements.js";
import { errorMessage } from "./error-messages.js";
import { confidenceText, describe, kindOf, labelName, showsHeatmap } from "./labels.js";
import { onLanguageChange, t, timeOfDay } from "./language.js";
import { REOPEN_AFTER } from "./liveness.js";
import { isSoundOn, playSound, setSound } from "./sound.js";
import { Watch } from "./watch.js";

// Limits the memory of a page that runs for weeks.
const MAX_LOG = 1000;

export class WatchView {
  #client;
  #video = byId("watch-video");
  #watch;
  #wakeLock = new WakeLock();
  #choice = new CameraChoice(byId("watch-camera-field"), byId("watch-camera"), () => this.start());
  #detections = []; // {event, prediction, time}, newest first
  #dishes = 0;
  #message = "watchIdle"; // key of the text shown without a prediction
  #stream = null;
  #starts = 0; // number of starts and stops
  #opening = false;
  #opened = 0; // when the camera was last opened

  /** @param {import("./inference-client.js").InferenceClient} client */
  constructor(client) {
    this.#client = client;
    this.#watch = new Watch(client, this.#video);
    this.#watch.addEventListener("frame", () => this.#showFrame());
    this.#watch.addEventListener("detection", (/** @type {CustomEvent} */ { detail }) =>
      this.#addDetection(detail),
    );
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
      this.#showLog();
    });
    this.#showControls();
    this.#show();
  }

  get isOn() {
    return this.#watch.isOn;
  }

  /** Whether reloading the page loses nothing. */
  get isEmpty() {
    return !this.isOn && this.#detections.length === 0;
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
    byId("log-csv").addEventListener("click", () => this.#export());
    byId("log-clear").addEventListener("click", () => {
      this.#detections = [];
      this.#dishes = 0;
      this.#showLog();
      byId("watch-toggle").focus();
      announce(t("cleared"));
    });
  }

  /** Show a message instead of a prediction, and announce it. */
  #showMessage(key) {
    this.#message = key;
    this.#show();
    announce(t(key));
  }

  #showFrame() {
    this.#message = "watchWait"; // the error is over
    this.#show();
  }

  #showError(error) {
    this.#showVerdict("failed", error.status === 503 ? t("watchBusy") : errorMessage(error));
  }

  /** Hide the prediction while there is no new frame; reopen the camera if this lasts. */
  #showStuck({ reason, age }) {
    if (this.#opening) return; // the last frame is gone already
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
    const { prediction } = this.#watch;
    if (!prediction) {
      const resumes = this.isOn && this.#message in REOPEN_AFTER;
      this.#showVerdict("waiting", t(this.#message), resumes ? t("cameraResumes") : "");
      return;
    }
    const { label, evidence } = prediction;
    const heatmap = showsHeatmap(label) ? evidence : null;
    this.#showVerdict(kindOf(label), labelName(label), confidenceText(prediction), heatmap);
  }

  #showVerdict(kind, name, confidence = "", heatmap = null) {
    const verdict = byId("watch-verdict");
    if (verdict.dataset.kind !== kind || !byId("watch-icon").firstChild) {
      verdict.dataset.kind = kind;
      byId("watch-icon").replaceChildren(icon(kind));
    }
    byId("watch-name").textContent = name;
    byId("watch-name").style.setProperty("--letters", name.length); // short words are larger
    verdict.classList.toggle("text-only", kind === "waiting" || kind === "failed");
    byId("watch-sure").textContent = confidence;
    byId("watch-map").hidden = !heatmap;
    if (heatmap) byId("watch-map").src = heatmap;
  }

  #showControls() {
    byId("watch-toggle").textContent = t(this.isOn ? "watchStop" : "watchStart");
    byId("watch-toggle").classList.toggle("primary", !this.isOn);
    byId("watch-sound").checked = isSoundOn();
    byId("stage").classList.toggle("on", this.isOn);
  }

  /** Log, play and announce a new dish or a new label. */
  #addDetection(detection) {
    this.#detections.unshift(detection);
    this.#detections.length = Math.min(this.#detections.length, MAX_LOG);
    const { prediction } = detection;
    if (isNewDish(detection)) this.#dishes += 1;
    byId("log-lines").prepend(line(detection));
    byId("log-lines").children[MAX_LOG]?.remove();
    this.#showLogHead();
    playSound(kindOf(prediction.label));
    const text = isNewDish(detection) ? "newDishIs" : "answerChangedTo";
    announce(t(text, { answer: describe(prediction) }));
  }

  #showLog() {
    byId("log-lines").replaceChildren(...this.#detections.map(line));
    this.#showLogHead();
  }

  #showLogHead() {
    const empty = this.#detections.length === 0;
    byId("log-empty").hidden = !empty;
    byId("log-actions").hidden = empty;
    byId("dishes-seen").textContent = empty ? "" : t("dishesSeen", { count: this.#dishes });
  }

  #export() {
    const rows = this.#detections
      .map((detection) => ({
        ...detection,
        name: isNewDish(detection) ? "new dish" : "",
        source: detection.prediction.source,
      }))
      .reverse();
    const text = predictionsToCsv(rows, this.#client.model?.classes ?? []);
    saveFile("platecheck-watch.csv", text, "text/csv;charset=utf-8");
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

/** Whether a dish came into view; an empty place does not count. */
function isNewDish({ event, prediction }) {
  return event === "new dish" && prediction.label !== "not a dish";
}

function line(detection) {
  const { event, prediction, time } = detection;
  const kind = kindOf(prediction.label);
  const note = isNewDish(detection)
    ? t("newDish")
    : event === "new label"
      ? t("answerChanged")
      : "";
  return make(
    "li",
    {},
    make("time", { dateTime: time.toISOString(), textContent: timeOfDay(time) }),
    make("span", { class: "badge", data: { kind } }, icon(kind), labelName(prediction.label)),
    make("span", { class: "line-sure", textContent: confidenceText(prediction) }),
    make("span", { class: "line-note", textContent: note }),
  );
}
