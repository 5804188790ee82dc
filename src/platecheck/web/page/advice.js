// @ts-check
/** Find out why the model is unsure of a photo, and what photo would help. */

import { isConfident } from "./labels.js";
import { jpeg, luminance, scaled } from "./prepare.js";

/*
 * Thresholds were chosen on 458 real photos of dishes and 60 rendered ones, unchanged and degraded.
 * The comments give the detection rates on the real ones.
 */

// Mean luminance, 0 to 255. Unchanged 0.2 %; with a tenth of the light 98 %.
const DARK = 60;
// Share of saturated pixels. Unchanged 0.2 %; with four times the light 71 %.
const OVEREXPOSED = 0.3;
const WHITE = 250;
/*
 * Sharpness: the 99th percentile of differences between adjacent pixels, divided by that of pixels
 * EDGE_SPAN apart, so that contrast cancels out. The smaller value of rows and columns counts,
 * because motion blurs in one direction.
 * Unchanged 1.3 %; Gaussian blur with a sigma of 2 of 256 pixels 97 %; moved by 8 pixels 93 %.
 */
const BLURRED = 0.21;
const EDGE_SPAN = 6;
// Everything is measured at one size, so that photos of any size compare.
const MEASURED_SIDE = 256;
// Pixels of the shorter side, below which photos have less detail than the model's input.
const SMALL = 160;

/*
 * The two views that are tried. Of 40 photos taken 1.5 to 3 times too far away, so that the model
 * was unsure, the central crop was classified correctly 36 times and wrongly once; of 22 that were
 * too dark, the brighter view 14 times and twice.
 */
const CROP = 0.5;
const TARGET_LUMINANCE = 125;
const BRIGHT_ENOUGH = 100;
const MAX_GAIN = 16;

/**
 * Check the quality of a photo.
 *
 * @param {Blob} blob
 * @param {{width: number, height: number}} size of the original
 * @returns {Promise<("isDark"|"isBright"|"isBlurred"|"isSmall")[]>} keys of texts
 */
export async function findFaults(blob, { width, height }) {
  const { grey, columns } = await measure(blob);
  /** @type {("isDark"|"isBright"|"isBlurred"|"isSmall")[]} */
  const faults = [];
  if (mean(grey) < DARK) faults.push("isDark");
  if (grey.filter((value) => value >= WHITE).length > OVEREXPOSED * grey.length) {
    faults.push("isBright");
  }
  if (sharpness(grey, columns) < BLURRED) faults.push("isBlurred");
  if (Math.min(width, height) < SMALL) faults.push("isSmall");
  return faults;
}

/**
 * Classify a closer view of a photo and, if it is not bright, a brighter one.
 *
 * @param {Blob} blob
 * @param {(photos: {name: string, blob: Blob}[]) => Promise<any[]>} predict
 * @returns {Promise<{tried: string[], found: {change: string, prediction: any}[]}>} changes are
 *   "closer" and "brighter"; found: those with a confident prediction
 */
export async function tryOtherViews(blob, predict) {
  const bitmap = await createImageBitmap(blob);
  const views = [{ change: "closer", canvas: closer(bitmap) }];
  const { grey } = await measure(blob);
  if (mean(grey) < BRIGHT_ENOUGH) {
    views.push({ change: "brighter", canvas: brighter(scaled(bitmap, 1024), gainFor(grey)) });
  }
  bitmap.close();
  const photos = await Promise.all(
    views.map(async ({ change, canvas }) => ({
      name: `${change}.jpg`,
      blob: await jpeg(canvas),
    })),
  );
  const predictions = await predict(photos);
  return {
    tried: views.map(({ change }) => change),
    found: views
      .map(({ change }, index) => ({ change, prediction: predictions[index] }))
      .filter(({ prediction }) => prediction.label && isConfident(prediction.label)),
  };
}

/** Return a photo's luminance at MEASURED_SIDE. */
async function measure(blob) {
  const bitmap = await createImageBitmap(blob);
  const canvas = scaled(bitmap, MEASURED_SIDE);
  bitmap.close();
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return { grey: luminance(data), columns: canvas.width };
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Return the sharpness in the blurrier direction, see BLURRED. */
function sharpness(grey, columns) {
  const rows = grey.length / columns;
  const ratio = (step, fits) =>
    contrast(grey, step, fits) / (contrast(grey, EDGE_SPAN * step, fits) + 1);
  return Math.min(
    ratio(1, (i) => (i % columns) + EDGE_SPAN < columns),
    ratio(columns, (i) => i / columns + EDGE_SPAN < rows),
  );
}

/** Return the 99th percentile of differences between pixels `step` apart. */
function contrast(grey, step, fits) {
  const differences = [];
  for (let i = 0; i < grey.length; i++) {
    if (fits(i)) differences.push(Math.abs(grey[i + step] - grey[i]));
  }
  differences.sort((a, b) => a - b);
  return differences[Math.floor(0.99 * (differences.length - 1))] ?? 0;
}

/** Return the central crop of a photo. */
function closer(bitmap) {
  const [width, height] = [bitmap.width * CROP, bitmap.height * CROP];
  const canvas = new OffscreenCanvas(Math.ceil(width), Math.ceil(height));
  const [left, top] = [(bitmap.width - width) / 2, (bitmap.height - height) / 2];
  canvas
    .getContext("2d")
    .drawImage(bitmap, left, top, width, height, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** Return the gain that brings a photo to TARGET_LUMINANCE. */
function gainFor(grey) {
  let [low, high] = [1, MAX_GAIN];
  for (let i = 0; i < 8; i++) {
    const gain = Math.sqrt(low * high);
    const curve = toneCurve(gain);
    if (mean(grey.map((value) => curve[Math.round(value)])) < TARGET_LUMINANCE) low = gain;
    else high = gain;
  }
  return Math.sqrt(low * high);
}

/** Multiply the light of a photo, in place. */
function brighter(canvas, gain) {
  const context = canvas.getContext("2d");
  const image = context.getImageData(0, 0, canvas.width, canvas.height);
  const curve = toneCurve(gain);
  for (let i = 0; i < image.data.length; i++) {
    if (i % 4 !== 3) image.data[i] = curve[image.data[i]];
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Return the sRGB value for each sRGB value with `gain` times the light. */
function toneCurve(gain) {
  return Uint8ClampedArray.from({ length: 256 }, (_, value) => {
    const light = Math.min(1, gain * linear(value / 255));
    return 255 * (light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055);
  });
}

function linear(value) {
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
}
