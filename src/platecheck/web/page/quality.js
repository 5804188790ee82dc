// @ts-check
/**
 * Measure whether a photo of a dish is good enough to call the dish clean, as quality.py does in
 * the service: the same measures, limits and reasons. They are explained there.
 */

import { resize, roundHalfToEven } from "./resize.js";

const SIDE = 384;
const MIN_SIDE = 64;
const MIN_LIGHT = 60;
const MAX_GLARE = 0.15;
const MAX_BLOCKS = 0.4;
const MAX_BLUR = 0.56;
const MAX_NOISE = 12;
const OVEREXPOSED = 250;
const MARGIN = 1 / 6;
const BLUR_SPAN = 9;
const COLUMN = 4; // blur is measured along every fourth column and row

/**
 * @param {import("./resize.js").Photo} photo of one dish
 * @returns {string} why a dish in it cannot be called clean, or "ok"
 */
export function findFault(photo) {
  const grey = reduced(photo);
  const axes = [grey, transposed(grey)];
  const { light, glare } = exposure(grey);
  if (Math.min(photo.width, photo.height) < MIN_SIDE) return "too small";
  if (light < MIN_LIGHT) return "too dark";
  if (glare > MAX_GLARE) return "too bright";
  if (Math.min(...axes.map(blocks)) > MAX_BLOCKS) return "low JPEG quality";
  const half = halved(grey);
  const blurs = [...axes.map((axis) => blur(axis, COLUMN)), blur(half), blur(transposed(half))];
  if (Math.max(...blurs) > MAX_BLUR) return "too blurred";
  if (noise(grey) > MAX_NOISE) return "too noisy";
  return "ok";
}

/** Return a photo's luminance [rows, columns], with at most SIDE on the longer side. */
function reduced(photo) {
  const scale = Math.min(1, SIDE / Math.max(photo.width, photo.height));
  const [columns, rows] = [photo.width, photo.height].map((length) =>
    Math.max(1, roundHalfToEven(length * scale)),
  );
  const pixels = resize(photo, columns, rows);
  const values = new Uint8Array(rows * columns).map((_, i) => {
    const [red, green, blue] = [pixels[3 * i], pixels[3 * i + 1], pixels[3 * i + 2]];
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16; // as in Pillow
  });
  return { values, rows, columns };
}

function transposed({ values, rows, columns }) {
  const turned = values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)]);
  return { values: turned, rows: columns, columns: rows };
}

/** Return means of 2 × 2 pixels. */
function halved({ values, columns, ...whole }) {
  const [height, width] = [whole.rows >> 1, columns >> 1];
  const half = new Float32Array(height * width).map((_, i) => {
    const at = 2 * Math.floor(i / width) * columns + 2 * (i % width);
    return (values[at] + values[at + 1] + values[at + columns] + values[at + columns + 1]) / 4;
  });
  return { values: half, rows: height, columns: width };
}

/** Return the 95th percentile of the luminance and the share of overexposed pixels in the middle. */
function exposure({ values, rows, columns }) {
  const sorted = values.slice().sort();
  const light = sorted[Math.ceil(0.95 * values.length) - 1];
  const [top, left] = [rows, columns].map((length) => Math.floor(length * MARGIN));
  let overexposed = 0;
  for (let row = top; row < rows - top; row++) {
    const middle = values.subarray(row * columns + left, (row + 1) * columns - left);
    overexposed += middle.filter((each) => each >= OVEREXPOSED).length;
  }
  return { light, glare: overexposed / ((rows - 2 * top) * (columns - 2 * left)) };
}

/** Return the share of the steps between neighbours in a column that blurring it keeps. */
function blur({ values, rows, columns }, every = 1) {
  if (rows < 2) return 0;
  const at = (row, column) => values[Math.min(rows - 1, Math.max(0, row)) * columns + column];
  let [total, lost] = [0, 0];
  for (let column = 0; column < columns; column += every) {
    for (let row = 0; row < rows - 1; row++) {
      const step = Math.abs(at(row + 1, column) - at(row, column));
      // Moving the mean of BLUR_SPAN pixels by one adds one pixel and drops another.
      const kept = Math.abs(at(row + 5, column) - at(row - 4, column)) / BLUR_SPAN;
      total += step;
      lost += Math.max(0, step - kept);
    }
  }
  return total ? 1 - lost / total : 0;
}

/** Return the standard deviation of the noise, from the median of second differences. */
function noise({ values, rows, columns }) {
  if (Math.min(rows, columns) < 3) return 0;
  const bend = (i) => values[i - columns] - 2 * values[i] + values[i + columns];
  const both = new Uint16Array((rows - 2) * (columns - 2)).map((_, index) => {
    const row = 1 + Math.floor(index / (columns - 2));
    const i = row * columns + 1 + (index % (columns - 2));
    return Math.abs(bend(i - 1) - 2 * bend(i) + bend(i + 1));
  });
  return both.sort()[both.length >> 1] / (6 * 0.6745);
}

/** Return how much larger every eighth step between rows is than its neighbours. */
function blocks({ values, rows, columns }) {
  const steps = Array.from({ length: rows - 1 }, (_, row) => {
    let sum = 0;
    for (let i = row * columns; i < (row + 1) * columns; i++) {
      sum += Math.abs(values[i + columns] - values[i]);
    }
    return sum / columns;
  });
  if (steps.length < 18) return 0; // two blocks
  const excess = steps.slice(1, -1).map((step, i) => step - (steps[i] + steps[i + 2]) / 2);
  const every = Array.from({ length: 8 }, (_, start) =>
    mean(excess.filter((_, i) => i % 8 === start)),
  );
  return Math.max(...every) / (mean(steps) + 0.5);
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
