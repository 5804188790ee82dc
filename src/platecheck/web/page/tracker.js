// @ts-check
/**
 * Follow dishes from frame to frame of a video, and count each once.
 *
 * A dish is the one of the last frame that overlaps it and looks like it. It counts once two frames
 * in a row agree on its label and, unless it moves, it has come to rest; so does a new label.
 *
 * The distance of two looks is the mean absolute difference of 24 × 24 pixels in greyscale, each
 * normalized to mean 0 and standard deviation 1 to ignore lighting and exposure. Measured on the
 * boxes of 60 rendered dishes: new noise 0.03, 20 % brighter 0.20, a box that is off by 2 % 0.38
 * (95th percentiles); another dish 0.31, 0.51 and 0.95 (1st and 5th percentile, median).
 */

import { overlap } from "./detect.js";
import { verdictOf } from "./inspection.js";
import { luminance } from "./prepare.js";

const SIDE = 24;
const MIN_OVERLAP = 0.3;
// A dish that overlaps its place by more stands still: looks are compared at that very place.
const STILL = 0.8;
const CHANGED = { still: 0.3, moving: 0.5 };
const RESTING = 0.12;
// Frames without a dish after which it is forgotten: a hand or a cloth may hide it.
const FORGET_AFTER = 4;
// Lower bound of the standard deviation (0 to 255), so that noise on a plain dish stays small.
const MIN_DEVIATION = 10;
// Weight of the newest frame in a dish's look, which follows slow changes such as daylight.
const FOLLOW = 0.1;

/**
 * @typedef {{dish: any, box: number[], look: Float32Array, last: Float32Array, label: string|null,
 *   candidate: string|null, missed: number, seen: boolean}} Track
 *   box: its place, where it has the look; last: its look in the last frame; label: the accepted
 *   one; null: not counted yet
 */

export class Tracker {
  /** @type {Track[]} */
  #tracks = [];
  #empty = 0; // frames in a row without a dish

  /**
   * What is in the current frame; null while it changes.
   *
   * @returns {import("./inspection.js").Inspection|null}
   */
  get current() {
    const dishes = this.#tracks
      .filter(({ label, seen, missed }) => label && seen && !missed)
      .map(({ dish, label }) => ({ ...dish, label }));
    if (!dishes.length && this.#empty < 2) return null;
    return { verdict: verdictOf(dishes), dishes, quality: "ok" };
  }

  /** Distrust what was seen until two new frames agree. */
  invalidate() {
    for (const track of this.#tracks) Object.assign(track, { seen: false, candidate: null });
    this.#empty = 0;
  }

  /**
   * Process a frame.
   *
   * @param {{box: number[], label: string}[]} dishes
   * @param {(box: number[]) => Float32Array} look returns what a box of the frame looks like
   * @returns {{event: string, track: Track}[]} what has changed: "new dish" or "new label"
   */
  update(dishes, look) {
    this.#empty = dishes.length ? 0 : this.#empty + 1;
    const fits = this.#tracks
      .flatMap((track) => dishes.map((dish) => compare(track, dish, look)))
      .filter(({ shared, fits }) => fits && shared >= MIN_OVERLAP)
      .sort((a, b) => b.shared - a.shared);
    const [found, events] = [new Set(), []];
    for (const { track, dish, ...seen } of fits) {
      if (found.has(track) || found.has(dish)) continue;
      found.add(track).add(dish);
      const event = this.#follow(track, dish, seen);
      if (event) events.push({ event, track });
    }
    for (const track of this.#tracks.filter((each) => !found.has(each))) {
      Object.assign(track, { missed: track.missed + 1, candidate: null });
    }
    for (const dish of dishes.filter((each) => !found.has(each))) {
      const last = look(dish.box);
      const place = { dish, box: dish.box, look: last, last };
      this.#tracks.push({ ...place, label: null, candidate: dish.label, missed: 0, seen: false });
    }
    this.#tracks = this.#tracks.filter(({ label, missed }) => missed <= (label ? FORGET_AFTER : 0));
    return events;
  }

  /** Follow a dish to a new frame; return what has changed. */
  #follow(track, dish, { now, isStill }) {
    const rests = !isStill || difference(now, track.last) < RESTING;
    const agrees = rests && track.candidate === dish.label;
    const label = agrees ? dish.label : track.label;
    const event = label === track.label ? null : track.label ? "new label" : "new dish";
    const follows = isStill && !event;
    const look = follows ? track.look.map((old, i) => old + FOLLOW * (now[i] - old)) : now;
    Object.assign(track, { missed: 0, last: now, look, candidate: rests ? dish.label : null });
    if (agrees) track.seen = true;
    if (!isStill) track.box = dish.box;
    // The heatmap and the probabilities must agree with the accepted label.
    track.dish = label === dish.label ? dish : { ...track.dish, box: dish.box };
    track.label = label;
    if (event === "new dish") {
      const isHere = (other) => other.missed && overlap(other.box, dish.box) >= MIN_OVERLAP;
      this.#tracks = this.#tracks.filter((other) => !isHere(other)); // it was replaced
    }
    return event;
  }
}

/** Compare a dish that is followed with one of a new frame. */
function compare(track, dish, look) {
  const isStill = overlap(track.box, dish.box) > STILL;
  const now = look(isStill ? track.box : dish.box);
  const fits = difference(track.look, now) <= (isStill ? CHANGED.still : CHANGED.moving);
  return { track, dish, shared: overlap(track.dish.box, dish.box), isStill, now, fits };
}

/** Return the luminance, 0 to 255, in a box of a frame. */
export function lookAt(frame, [x0, y0, x1, y1]) {
  const context = new OffscreenCanvas(SIDE, SIDE).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(frame, x0, y0, x1 - x0, y1 - y0, 0, 0, SIDE, SIDE);
  return luminance(context.getImageData(0, 0, SIDE, SIDE).data);
}

/** Return the distance of two looks, ignoring brightness and contrast. */
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
