// @ts-check
/** Prepare a photo for the detector and read its output, as detector.py does in the service. */

import { area } from "./crops.js";
import { resize, roundHalfToEven } from "./resize.js";

const PADDING = 114; // grey level beside and below the photo
const MAX_CANDIDATES = 1000;
const MAX_DISHES = 100;
const POSSIBLE = 0.7; // share of the threshold from which a box may be a dish
const MANY = 2; // possible dishes from which a photo cannot be called clean

/**
 * Scale a photo to fit a square, at the upper left.
 *
 * @param {import("./resize.js").Photo} photo
 * @param {number} size
 * @returns {Uint8Array} RGB [size, size, 3]
 */
export function letterbox(photo, size) {
  const scale = size / Math.max(photo.width, photo.height);
  const [width, height] = [photo.width, photo.height].map((length) =>
    Math.max(1, roundHalfToEven(length * scale)),
  );
  const pixels = resize(photo, width, height);
  const square = new Uint8Array(size * size * 3).fill(PADDING);
  for (let row = 0; row < height; row++) {
    square.set(pixels.subarray(row * width * 3, (row + 1) * width * 3), row * size * 3);
  }
  return square;
}

/**
 * Choose the dishes among the detector's candidates: non-maximum suppression.
 *
 * @param {Float32Array} boxes [A, 4], x0, y0, x1, y1 in pixels of the square
 * @param {Float32Array} scores [A]
 * @param {{size: number, threshold: number, nms_iou: number}} detector
 * @param {{width: number, height: number}} photo upright
 * @returns {{found: {box: number[], score: number}[], isCrowded: boolean}} in pixels of the photo,
 *   best first; isCrowded: there may be more dishes
 */
export function chooseDishes(boxes, scores, { size, threshold, nms_iou }, { width, height }) {
  const scale = size / Math.max(width, height);
  const candidates = [...scores.keys()]
    .filter((index) => scores[index] >= POSSIBLE * threshold)
    .map((index) => {
      const ends = [width, height, width, height];
      const box = ends.map((end, i) => Math.min(end, Math.max(0, boxes[4 * index + i] / scale)));
      return { box, score: scores[index] };
    })
    .filter(({ box: [x0, y0, x1, y1] }) => x1 > x0 && y1 > y0)
    .sort((a, b) => b.score - a.score)
    .slice(0, MAX_CANDIDATES);
  const kept = [];
  for (const each of candidates) {
    if (kept.every(({ box }) => overlap(box, each.box) <= nms_iou)) kept.push(each);
  }
  const possible = kept.slice(0, MAX_DISHES);
  const found = possible.filter(({ score }) => score >= threshold);
  return { found, isCrowded: possible.length - found.length >= MANY };
}

/** Return the intersection over union of two boxes: x0, y0, x1, y1. */
export function overlap(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  const shared = Math.max(0, width) * Math.max(0, height);
  return shared / (area(a) + area(b) - shared || 1);
}
