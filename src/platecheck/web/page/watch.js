// @ts-check
/** Inspect frame after frame of a video, one at a time. */

import { Liveness, stopReason } from "./liveness.js";
import { cutOut, jpeg, scaled } from "./prepare.js";
import { lookAt, Tracker } from "./tracker.js";

const INTERVAL = 300; // milliseconds
const CHECK_INTERVAL = 500;
const ERROR_INTERVAL = 3000; // do not retry twice a second while errors last
// The dish is gone by then, so let this device take over from the service.
const TIMEOUT = 8000;
// Age of a frame, in milliseconds, after which its inspection expires unless a newer frame
// confirms it: the scene may have changed.
const EXPIRES_AFTER = 6000;
const LARGEST_SIDE = 1024; // a dish of a third of it has as many pixels as the model's input

/**
 * Watches a video. Dispatches
 *
 * - "frame" after each inspected frame,
 * - "detection" (detail: event, track, source, picture, time) on a new dish or a new label,
 * - "error" (detail: the error) when a frame cannot be inspected,
 * - "stuck" (detail: reason, the key of a text; age, milliseconds since the last new frame) twice a
 *   second while there is no new frame or no new inspection. Watching resumes with the next one.
 */
export class Watch extends EventTarget {
  #client;
  #video;
  #tracker = null;
  #liveness = null;
  #confirmed = 0; // when the last frame that was inspected was taken
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

  /** The dishes in the current frame; null while they change or the video is stuck. */
  get inspection() {
    return this.#tracker?.current ?? null;
  }

  /** Watch until stopped; the video must be playing. */
  start() {
    this.stop();
    this.#tracker = new Tracker();
    this.#liveness = new Liveness();
    this.#confirmed = Date.now();
    this.#controller = new AbortController();
    const { signal } = this.#controller;
    const checks = setInterval(() => this.#check(), CHECK_INTERVAL); // also while a request is pending
    signal.addEventListener("abort", () => clearInterval(checks));
    this.#run(signal);
  }

  stop() {
    this.#controller?.abort();
    this.#controller = null;
    this.#tracker = null;
  }

  async #run(signal) {
    const inspected = new Liveness();
    while (!signal.aborted) {
      const next = performance.now() + INTERVAL;
      let wait = 0;
      if (document.visibilityState === "visible" && !stopReason(this.#video)) {
        try {
          await this.#inspect(inspected, signal);
        } catch (error) {
          if (signal.aborted) return;
          this.#tracker.invalidate();
          this.#dispatch("error", error);
          wait = ERROR_INTERVAL;
        }
      }
      await new Promise((done) => setTimeout(done, Math.max(wait, next - performance.now())));
    }
  }

  async #inspect(inspected, signal) {
    const frame = scaled(this.#video, LARGEST_SIDE);
    if (!inspected.isNew(this.#video, frame)) return;
    const taken = Date.now();
    const photos = [{ name: "frame.jpg", blob: await jpeg(frame) }];
    const options = { heatmap: true, signal, attempts: 1, timeout: TIMEOUT };
    const { inspections, source } = await this.#client.inspect(photos, options);
    if (signal.aborted) return;
    const [{ dishes, error }] = inspections;
    if (error) throw new Error(error.detail);
    if (this.#liveness.staleReason(this.#video) || Date.now() - taken > EXPIRES_AFTER) return;
    this.#confirmed = taken;
    const { width, height } = frame;
    const placed = dishes.map((dish) => ({ ...dish, box: dish.box ?? [0, 0, width, height] }));
    const events = this.#tracker.update(placed, (box) => lookAt(frame, box));
    const pictures = await cutOut(
      frame,
      events.map(({ track }) => track.dish),
    );
    events.forEach(({ event, track }, index) => {
      const picture = pictures[index];
      this.#dispatch("detection", { event, track, source, picture, time: new Date() });
    });
    this.#dispatch("frame", frame);
  }

  #check() {
    if (!this.isOn) return;
    const expired = this.inspection && Date.now() - this.#confirmed > EXPIRES_AFTER;
    const reason = this.#liveness.staleReason(this.#video) ?? (expired ? "slow" : null);
    if (!reason) return;
    this.#tracker.invalidate();
    this.#dispatch("stuck", { reason, age: this.#liveness.age });
  }

  #dispatch(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
