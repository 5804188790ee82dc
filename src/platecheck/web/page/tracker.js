// @ts-check
/**
 * Follow dishes from frame to frame of a video, and count each once.
 *
 * A dish is the one of the last frame that overlaps it and looks like it. It counts once two frames
 * in a row agree on its label and, unless it moves, it has come to rest; so does a new label.
 *
 * The distance of two looks is the mean absolute difference of small greyscale pictures, each
 * normalized to mean 0 and standard deviation 1 to ignore lighting and exposure.
 */

import { overlap } from "./detect.js";
import { verdictOf } from "./inspection.js";
import { luminance } from "./prepare.js";

const SIDE = 24;
const MIN_OVERLAP = 0.3;
const CHANGED = 0.35;
const RESTING = 0.12;
// A dish that overlaps its last place by less is being moved.
const STILL = 0.8;
// Frames without a dish after which it is forgotten: a hand or a cloth may hide it.
const FORGET_AFTER = 4;
// Lower bound of the standard deviation (0 to 255), so that noise on a plain dish stays small.
const MIN_DEVIATION = 10;
// Weight of the newest frame in a dish's look, which follows slow changes such as daylight.
const FOLLOW = 0.1;

/**
 * @typedef {{dish: any, look: Float32Array, last: Float32Array, label: string|null,
 *   candidate: string|null, missed: number, seen: boolean}} Track
 *   label: the accepted one; null: not counted yet
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
   * @param {(box: number[]) => Float32Array} lookAt returns what a box of the frame looks like
   * @returns {{event: string, track: Track}[]} what has changed: "new dish" or "new label"
   */
  update(dishes, lookAt) {
    this.#empty = dishes.length ? 0 : this.#empty + 1;
    const looks = new Map(dishes.map((dish) => [dish, lookAt(dish.box)]));
    const events = [];
    const missed = new Set(this.#tracks);
    for (const [track, dish] of pair(this.#tracks, looks)) {
      missed.delete(track);
      const event = this.#follow(track, dish, looks.get(dish));
      if (event) events.push({ event, track });
      looks.delete(dish);
    }
    for (const track of missed) Object.assign(track, { missed: track.missed + 1, candidate: null });
    for (const [dish, look] of looks) {
      const candidate = dish.label;
      const track = { dish, look, last: look, label: null, candidate, missed: 0, seen: false };
      this.#tracks.push(track);
    }
    this.#tracks = this.#tracks.filter(({ label, missed }) => missed <= (label ? FORGET_AFTER : 0));
    return events;
  }

  /** Follow a dish to its place in a new frame; return what has changed. */
  #follow(track, dish, look) {
    const isStill = overlap(track.dish.box, dish.box) > STILL;
    const rests = !isStill || difference(look, track.last) < RESTING;
    const agrees = rests && track.candidate === dish.label;
    const accepted = agrees ? dish.label : track.label;
    const event = accepted === track.label ? null : track.label ? "new label" : "new dish";
    Object.assign(track, { missed: 0, last: look, candidate: rests ? dish.label : null });
    if (agrees) track.seen = true;
    track.look = event ? look : track.look.map((value, i) => value + FOLLOW * (look[i] - value));
    // What the accepted label shows must agree with it.
    track.dish = accepted === dish.label ? dish : { ...track.dish, box: dish.box };
    track.label = accepted;
    if (event === "new dish") {
      // What stood here before is gone.
      this.#tracks = this.#tracks.filter(
        (other) => other === track || overlap(other.dish.box, dish.box) < MIN_OVERLAP || !other.missed,
      );
    }
    return event;
  }
}

/** Pair tracks with dishes that look like them, those that overlap most first. */
function pair(tracks, looks) {
  const pairs = tracks
    .flatMap((track) => [...looks].map(([dish, look]) => ({ track, dish, look })))
    .map((each) => ({ ...each, shared: overlap(each.track.dish.box, each.dish.box) }))
    .filter(({ shared }) => shared >= MIN_OVERLAP)
    .filter(({ track, look }) => difference(track.look, look) <= CHANGED)
    .sort((a, b) => b.shared - a.shared);
  const found = new Map();
  const taken = new Set();
  for (const { track, dish } of pairs) {
    if (found.has(track) || taken.has(dish)) continue;
    found.set(track, dish);
    taken.add(dish);
  }
  return found;
}

/**
 * Return what a part of a frame looks like.
 *
 * @param {OffscreenCanvas} frame
 * @param {number[]} box
 * @returns {Float32Array} luminance, 0 to 255
 */
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
