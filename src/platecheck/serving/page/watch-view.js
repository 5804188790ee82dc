/** The view for a fixed camera: the answer as large as can be, and a log of what was seen. */

import { announce } from "./announce.js";
import { CameraChoice } from "./camera-choice.js";
import { closeCamera, openCamera, showCamera } from "./camera.js";
import { answersAsCsv, saveFile } from "./csv.js";
import { byId, icon, make } from "./elements.js";
import { onLanguage, t, timeOfDay } from "./language.js";
import { REOPEN_AFTER } from "./liveness.js";
import { isSoundOn, playTone, setSound } from "./sound.js";
import { WakeLock } from "./wake-lock.js";
import { Watch } from "./watch.js";
import { kindOf, mayShowDirt, nameOf, surenessOf, whyNot } from "./words.js";

// A camera that runs for weeks must not fill the memory.
const LONGEST_LOG = 1000;

export class WatchView {
  #ask;
  #video = byId("watch-video");
  #watch;
  #wakeLock = new WakeLock();
  #choice = new CameraChoice(byId("watch-camera-field"), byId("watch-camera"), () => this.start());
  #seen = []; // {event, entry, time}, the newest first
  #dishes = 0;
  #message = "watchIdle"; // the text shown where there is no answer
  #stream = null;
  #start = 0; // how often it was started or stopped
  #opening = false;
  #opened = 0; // when the camera was opened last

  /** @param {import("./ask.js").Asker} ask */
  constructor(ask) {
    this.#ask = ask;
    this.#watch = new Watch(ask, this.#video);
    this.#watch.addEventListener("frame", () => this.#showFrame());
    this.#watch.addEventListener("seen", ({ detail }) => this.#note(detail));
    this.#watch.addEventListener("trouble", ({ detail }) => this.#showTrouble(detail));
    this.#watch.addEventListener("stuck", ({ detail }) => this.#showStuck(detail));
    this.#listenToControls();
    onLanguage(() => {
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

  /** Whether nothing would be lost if the page were loaded again. */
  get isEmpty() {
    return !this.isOn && this.#seen.length === 0;
  }

  /** Open the camera and watch. */
  async start() {
    this.stop();
    this.#say("cameraStarting");
    try {
      if (!(await this.#openCamera())) return;
    } catch (error) {
      this.#say(error.key ?? "cameraBusy");
      return;
    }
    this.#message = "watchWait";
    this.#watch.start();
    this.#wakeLock.keep(true);
    this.#showControls();
    this.#show();
  }

  /** Open the camera and show what it sees: whether it is still wanted by then. */
  async #openCamera() {
    const start = this.#start; // it may be stopped, or started anew, while the camera opens
    const isWanted = () => start === this.#start;
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

  /** Let go of the camera. */
  stop() {
    this.#start += 1;
    this.#opening = false;
    this.#watch.stop();
    this.#wakeLock.keep(false);
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
      this.#seen = [];
      this.#dishes = 0;
      this.#showLog();
      byId("watch-toggle").focus();
      announce(t("cleared"));
    });
  }

  /** Show a message instead of an answer, and say it. */
  #say(key) {
    this.#message = key;
    this.#show();
    announce(t(key));
  }

  #showFrame() {
    this.#message = "watchWait"; // a trouble is over
    this.#show();
  }

  #showTrouble(error) {
    this.#showVerdict("failed", error.status === 503 ? t("watchBusy") : whyNot(error));
  }

  /** There is no new picture: take the answer down, and have the camera opened anew. */
  #showStuck({ why, age }) {
    if (this.#opening) return; // the old picture is gone
    if (this.#message === why) this.#show();
    else this.#say(why);
    if (Math.min(age, Date.now() - this.#opened) > REOPEN_AFTER[why]) this.#reopen();
  }

  async #reopen() {
    try {
      await this.#openCamera();
    } catch (error) {
      if (error.key !== "cameraRefused") return; // it is tried again
      this.stop();
      this.#say(error.key);
    }
  }

  #show() {
    const { shown } = this.#watch;
    if (!shown) {
      const resumes = this.isOn && this.#message in REOPEN_AFTER;
      this.#showVerdict("waiting", t(this.#message), resumes ? t("cameraResumes") : "");
      return;
    }
    const dirt = mayShowDirt(shown.label) ? shown.evidence : null;
    this.#showVerdict(kindOf(shown.label), nameOf(shown.label), surenessOf(shown), dirt);
  }

  #showVerdict(kind, name, sure = "", evidence = null) {
    const verdict = byId("watch-verdict");
    if (verdict.dataset.kind !== kind || !byId("watch-icon").firstChild) {
      verdict.dataset.kind = kind;
      byId("watch-icon").replaceChildren(icon(kind));
    }
    byId("watch-name").textContent = name;
    byId("watch-name").style.setProperty("--letters", name.length); // a short word is larger
    verdict.classList.toggle("words", kind === "waiting" || kind === "failed");
    byId("watch-sure").textContent = sure;
    byId("watch-map").hidden = !evidence;
    if (evidence) byId("watch-map").src = evidence;
  }

  #showControls() {
    byId("watch-toggle").textContent = t(this.isOn ? "watchStop" : "watchStart");
    byId("watch-toggle").classList.toggle("primary", !this.isOn);
    byId("watch-sound").checked = isSoundOn();
    byId("stage").classList.toggle("on", this.isOn);
  }

  /** Another dish, or another answer: a line in the log, a tone, a word. */
  #note(seen) {
    this.#seen.unshift(seen);
    this.#seen.length = Math.min(this.#seen.length, LONGEST_LOG);
    const { entry } = seen;
    if (isNewDish(seen)) this.#dishes += 1;
    byId("log-lines").prepend(line(seen));
    byId("log-lines").children[LONGEST_LOG]?.remove();
    this.#showLogHead();
    playTone(kindOf(entry.label));
    const answer = [nameOf(entry.label), surenessOf(entry)].filter(Boolean).join(", ");
    announce(t(isNewDish(seen) ? "newDishIs" : "answerChangedTo", { answer }));
  }

  #showLog() {
    byId("log-lines").replaceChildren(...this.#seen.map(line));
    this.#showLogHead();
  }

  #showLogHead() {
    const empty = this.#seen.length === 0;
    byId("log-empty").hidden = !empty;
    byId("log-actions").hidden = empty;
    byId("dishes-seen").textContent = empty ? "" : t("dishesSeen", { count: this.#dishes });
  }

  #export() {
    const rows = this.#seen
      .map((seen) => ({
        ...seen,
        name: isNewDish(seen) ? "new dish" : "",
        where: seen.entry.where,
      }))
      .reverse();
    const text = answersAsCsv(rows, this.#ask.model?.classes ?? []);
    saveFile("platecheck-watch.csv", text, "text/csv;charset=utf-8");
  }
}

/** Whether a dish came into the picture; an empty place is no dish. */
function isNewDish({ event, entry }) {
  return event === "new dish" && entry.label !== "not a dish";
}

function line(seen) {
  const { event, entry, time } = seen;
  const kind = kindOf(entry.label);
  const note = isNewDish(seen) ? t("newDish") : event === "answer" ? t("answerChanged") : "";
  return make(
    "li",
    {},
    make("time", { dateTime: time.toISOString(), textContent: timeOfDay(time) }),
    make("span", { class: "badge", data: { kind } }, icon(kind), nameOf(entry.label)),
    make("span", { class: "line-sure", textContent: surenessOf(entry) }),
    make("span", { class: "line-note", textContent: note }),
  );
}
