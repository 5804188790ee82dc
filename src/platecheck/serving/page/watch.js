/** Watching: frame after frame of a video is asked about, one at a time. */

import { Liveness, whyStopped } from "./liveness.js";
import { jpeg, scaled } from "./prepare.js";
import { Steady } from "./steady.js";
import { greyThumbnail } from "./thumbnail.js";

const EVERY = 500; // milliseconds
// A trouble that lasts is no reason to ask twice a second.
const AFTER_TROUBLE = 3000;
// After so long without an answer the dish has gone by: let this device answer.
const PATIENCE = 8000;
// An answer holds for so long after its frame was taken. Unless a newer one confirms it by then,
// whatever the reason, the picture may be another one.
const HOLDS = 6000;
const LARGEST_SIDE = 640; // twice what the model looks at

/**
 * Watches a video.
 *
 * Fires "frame" after each answered frame, "seen" (detail: event, entry, time) when there is another
 * dish or another answer, "trouble" (detail: the error) when a frame has no answer, and "stuck"
 * (detail: why, the key of a text, and age, the milliseconds since the last new frame) twice a second
 * while there is no new frame, or no new answer. It goes on by itself with the next new one.
 */
export class Watch extends EventTarget {
  #ask;
  #video;
  #steady = null;
  #liveness = null;
  #confirmed = 0; // when the frame of the last answer was taken
  #stop = null;

  /**
   * @param {import("./ask.js").Asker} ask
   * @param {HTMLVideoElement} video
   */
  constructor(ask, video) {
    super();
    this.#ask = ask;
    this.#video = video;
    document.addEventListener("visibilitychange", () => this.#check());
  }

  get isOn() {
    return this.#stop !== null;
  }

  /** The answer that counts now; null while the picture is changing, or is not a new one. */
  get shown() {
    return this.#steady?.holds ? this.#steady.shown : null;
  }

  /** Watch until stopped; the video must play already. */
  start() {
    this.stop();
    this.#steady = new Steady();
    this.#liveness = new Liveness();
    this.#confirmed = Date.now();
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    const checks = setInterval(() => this.#check(), EVERY); // also while an answer is waited for
    signal.addEventListener("abort", () => clearInterval(checks));
    this.#run(signal);
  }

  stop() {
    this.#stop?.abort();
    this.#stop = null;
    this.#steady = null;
  }

  async #run(signal) {
    const asked = new Liveness();
    while (!signal.aborted) {
      const next = performance.now() + EVERY;
      let wait = 0;
      if (document.visibilityState === "visible" && !whyStopped(this.#video)) {
        try {
          await this.#look(asked, signal);
        } catch (error) {
          if (signal.aborted) return;
          this.#steady.doubt();
          this.dispatchEvent(new CustomEvent("trouble", { detail: error }));
          wait = AFTER_TROUBLE;
        }
      }
      await new Promise((done) => setTimeout(done, Math.max(wait, next - performance.now())));
    }
  }

  async #look(asked, signal) {
    const frame = scaled(this.#video, LARGEST_SIDE);
    if (!asked.isNew(this.#video, frame)) return;
    const taken = Date.now();
    const grey = greyThumbnail(frame);
    const blob = await jpeg(frame);
    const options = { evidence: true, signal, tries: 1, patience: PATIENCE };
    const { entries, where } = await this.#ask.answer([{ name: "frame.jpg", blob }], options);
    if (signal.aborted) return;
    const entry = { ...entries[0], where };
    if (entry.error) throw new Error(entry.error.detail);
    if (this.#liveness.whyOld(this.#video) || Date.now() - taken > HOLDS) return;
    this.#confirmed = taken;
    const event = this.#steady.step(grey, entry);
    if (event) this.#fire("seen", { event, entry, time: new Date() });
    this.#fire("frame");
  }

  #check() {
    if (!this.isOn) return;
    const late = this.#steady.holds && Date.now() - this.#confirmed > HOLDS;
    const why = this.#liveness.whyOld(this.#video) ?? (late ? "slow" : null);
    if (!why) return;
    this.#steady.doubt();
    this.#fire("stuck", { why, age: this.#liveness.age });
  }

  #fire(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
