/** Watching: frame after frame of a video is asked about, one at a time. */

import { jpeg, scaled } from "./prepare.js";
import { Steady } from "./steady.js";
import { greyThumbnail } from "./thumbnail.js";

const EVERY = 500; // milliseconds
// A trouble that lasts is no reason to ask twice a second.
const AFTER_TROUBLE = 3000;
// After so long without an answer the dish has gone by: let this device answer.
const PATIENCE = 8000;
const LARGEST_SIDE = 640; // twice what the model looks at

/**
 * Watches a video.
 *
 * Fires "frame" after each answered frame, "seen" (detail: event, entry, time) when there is another
 * dish or another answer, and "trouble" (detail: the error) when a frame has no answer.
 */
export class Watch extends EventTarget {
  #ask;
  #video;
  #steady = null;
  #stop = null;

  /**
   * @param {import("./ask.js").Asker} ask
   * @param {HTMLVideoElement} video
   */
  constructor(ask, video) {
    super();
    this.#ask = ask;
    this.#video = video;
  }

  get isOn() {
    return this.#stop !== null;
  }

  /** The answer that counts now; null while the picture is changing. */
  get shown() {
    return this.#steady && !this.#steady.changed ? this.#steady.shown : null;
  }

  /** Watch until stopped; the video must play already. */
  start() {
    this.stop();
    this.#steady = new Steady();
    this.#stop = new AbortController();
    this.#run(this.#stop.signal);
  }

  stop() {
    this.#stop?.abort();
    this.#stop = null;
    this.#steady = null;
  }

  async #run(signal) {
    while (!signal.aborted) {
      const next = performance.now() + EVERY;
      let wait = 0;
      if (document.visibilityState === "visible") {
        try {
          await this.#look(signal);
        } catch (error) {
          if (signal.aborted) return;
          this.dispatchEvent(new CustomEvent("trouble", { detail: error }));
          wait = AFTER_TROUBLE;
        }
      }
      await new Promise((done) => setTimeout(done, Math.max(wait, next - performance.now())));
    }
  }

  async #look(signal) {
    const frame = scaled(this.#video, LARGEST_SIDE);
    const grey = greyThumbnail(frame);
    const blob = await jpeg(frame);
    const options = { evidence: true, signal, tries: 1, patience: PATIENCE };
    const { entries, where } = await this.#ask.answer([{ name: "frame.jpg", blob }], options);
    if (signal.aborted) return;
    const entry = { ...entries[0], where };
    if (entry.error) throw new Error(entry.error.detail);
    const event = this.#steady.step(grey, entry);
    if (event) this.#fire("seen", { event, entry, time: new Date() });
    this.#fire("frame");
  }

  #fire(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
