// @ts-check
/** Classify frame after frame of a video, one at a time. */

import { Liveness, stopReason } from "./liveness.js";
import { greyThumbnail, MotionDetector } from "./motion.js";
import { jpeg, scaled } from "./prepare.js";

const INTERVAL = 500; // milliseconds
const ERROR_INTERVAL = 3000; // do not retry twice a second while errors last
// The dish is gone by then, so let this device take over from the service.
const TIMEOUT = 8000;
// Age of a frame, in milliseconds, after which its prediction expires unless a newer frame
// confirms it: the scene may have changed.
const EXPIRES_AFTER = 6000;
const LARGEST_SIDE = 640; // twice the model's input

/**
 * Watches a video. Dispatches
 *
 * - "frame" after each classified frame,
 * - "detection" (detail: event, prediction, time) on a new dish or a new label,
 * - "error" (detail: the error) when a frame cannot be classified,
 * - "stuck" (detail: reason, the key of a text; age, milliseconds since the last new frame) twice a
 *   second while there is no new frame or no new prediction. Watching resumes with the next one.
 */
export class Watch extends EventTarget {
  #client;
  #video;
  #motion = null;
  #liveness = null;
  #confirmed = 0; // when the frame of the last prediction was taken
  #controller = null;

  /**
   * @param {import("./inference-client.js").InferenceClient} client
   * @param {HTMLVideoElement} video
   */
  constructor(client, video) {
    super();
    this.#client = client;
    this.#video = video;
    document.addEventListener("visibilitychange", () => this.#check());
  }

  get isOn() {
    return this.#controller !== null;
  }

  /** The prediction for the current frame; null while the scene changes or the video is stuck. */
  get prediction() {
    return this.#motion?.isCurrent ? this.#motion.prediction : null;
  }

  /** Watch until stopped; the video must be playing. */
  start() {
    this.stop();
    this.#motion = new MotionDetector();
    this.#liveness = new Liveness();
    this.#confirmed = Date.now();
    this.#controller = new AbortController();
    const { signal } = this.#controller;
    const checks = setInterval(() => this.#check(), INTERVAL); // also while a request is pending
    signal.addEventListener("abort", () => clearInterval(checks));
    this.#run(signal);
  }

  stop() {
    this.#controller?.abort();
    this.#controller = null;
    this.#motion = null;
  }

  async #run(signal) {
    const classified = new Liveness();
    while (!signal.aborted) {
      const next = performance.now() + INTERVAL;
      let wait = 0;
      if (document.visibilityState === "visible" && !stopReason(this.#video)) {
        try {
          await this.#classify(classified, signal);
        } catch (error) {
          if (signal.aborted) return;
          this.#motion.invalidate();
          this.#dispatch("error", error);
          wait = ERROR_INTERVAL;
        }
      }
      await new Promise((done) => setTimeout(done, Math.max(wait, next - performance.now())));
    }
  }

  async #classify(classified, signal) {
    const frame = scaled(this.#video, LARGEST_SIDE);
    if (!classified.isNew(this.#video, frame)) return;
    const taken = Date.now();
    const grey = greyThumbnail(frame);
    const blob = await jpeg(frame);
    const options = { evidence: true, signal, attempts: 1, timeout: TIMEOUT };
    const { predictions, source } = await this.#client.predict(
      [{ name: "frame.jpg", blob }],
      options,
    );
    if (signal.aborted) return;
    const prediction = { ...predictions[0], source };
    if (prediction.error) throw new Error(prediction.error.detail);
    if (this.#liveness.staleReason(this.#video) || Date.now() - taken > EXPIRES_AFTER) return;
    this.#confirmed = taken;
    const event = this.#motion.update(grey, prediction);
    if (event) this.#dispatch("detection", { event, prediction, time: new Date() });
    this.#dispatch("frame");
  }

  #check() {
    if (!this.isOn) return;
    const expired = this.#motion.isCurrent && Date.now() - this.#confirmed > EXPIRES_AFTER;
    const reason = this.#liveness.staleReason(this.#video) ?? (expired ? "slow" : null);
    if (!reason) return;
    this.#motion.invalidate();
    this.#dispatch("stuck", { reason, age: this.#liveness.age });
  }

  #dispatch(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
