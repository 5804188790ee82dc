// @ts-check
/**
 * Detect dish changes in a video and keep the displayed prediction from flickering.
 *
 * A prediction is accepted when two frames in a row agree. A new dish is one whose frame differs
 * from that of the accepted prediction and has come to rest.
 *
 * The distance of two frames is the mean absolute difference of 32 × 24 thumbnails, each normalized
 * to mean 0 and standard deviation 1 to ignore lighting and exposure. Measured on 60 rendered
 * dishes: new noise at most 0.03; 20 % brighter 0.11 (95th percentile); moved by 1 % of the width
 * 0.13 (median); dish removed 0.59, another dish on the same background 0.41 (both 5th percentile).
 */

import { luminance } from "./prepare.js";

const WIDTH = 32;
const HEIGHT = 24;
const CHANGED = 0.35;
const MOVING = 0.12;
// Lower bound of the standard deviation (0 to 255), so that noise on a plain frame stays small.
const MIN_DEVIATION = 10;
// Weight of the newest frame in the reference, which follows slow changes such as daylight.
const FOLLOW = 0.1;

export class MotionDetector {
  #last = null; // thumbnail of the last frame
  #reference = null; // thumbnail of the accepted prediction
  #candidate = null; // last prediction, accepted or not
  #stale = false;
  /** The accepted prediction. */
  prediction = null;
  /** Whether the last frame differs from that of the accepted prediction. */
  changed = false;

  /** Whether the accepted prediction describes the current frame. */
  get isCurrent() {
    return this.prediction !== null && !this.changed && !this.#stale;
  }

  /** Distrust the accepted prediction until two new frames agree. */
  invalidate() {
    this.#stale = true;
    this.#candidate = null;
    this.#last = null;
  }

  /**
   * Process a frame.
   *
   * @param {Float32Array} grey the frame's thumbnail
   * @param {{label: string}} prediction
   * @returns {"new dish"|"new label"|null} how the accepted prediction changed
   */
  update(grey, prediction) {
    const resting = this.#last === null || difference(grey, this.#last) < MOVING;
    this.#last = grey;
    this.changed = this.#reference === null || difference(grey, this.#reference) > CHANGED;
    if (this.changed && !resting) {
      this.#candidate = null; // such as a hand, or a dish being moved
      return null;
    }
    const agreed = this.#candidate?.label === prediction.label;
    this.#candidate = prediction;
    if (!agreed) return null;
    const relabeled = prediction.label !== this.prediction?.label;
    const event = this.changed ? "new dish" : relabeled ? "new label" : null;
    this.#reference = event ? grey : follow(this.#reference, grey);
    this.prediction = prediction;
    this.changed = false;
    this.#stale = false;
    return event;
  }
}

/**
 * Return a frame in grayscale at 32 × 24 pixels.
 *
 * @param {OffscreenCanvas} frame
 * @returns {Float32Array} 0 to 255
 */
export function greyThumbnail(frame) {
  const canvas = new OffscreenCanvas(WIDTH, HEIGHT);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(frame, 0, 0, WIDTH, HEIGHT);
  return luminance(context.getImageData(0, 0, WIDTH, HEIGHT).data);
}

/** Return the distance of two thumbnails, ignoring brightness and contrast. */
function difference(one, other) {
  const [a, b] = [normalized(one), normalized(other)];
  return mean(a.map((value, i) => Math.abs(value - b[i])));
}

function normalized(grey) {
  const middle = mean(grey);
  const deviation = Math.sqrt(mean(grey.map((value) => (value - middle) ** 2)));
  return grey.map((value) => (value - middle) / Math.max(deviation, MIN_DEVIATION));
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function follow(reference, grey) {
  return reference.map((value, i) => value + FOLLOW * (grey[i] - value));
}
