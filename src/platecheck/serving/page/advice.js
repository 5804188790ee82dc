/** Why a photo may leave the model unsure, and what photo would make it sure. */

import { jpeg, scaled } from "./prepare.js";
import { luminance } from "./thumbnail.js";
import { isSure } from "./words.js";

/*
 * The limits were chosen on 458 real photos of dishes and 60 rendered ones, as they are and made
 * worse. Each says, of the real ones, how many good photos it finds fault with, and how many bad.
 */

// Brightness, 0 to 255. Of photos as they are 0.2 %; with a tenth of the light 98 %.
const DARK = 60;
// Share of pixels as bright as can be. As they are 0.2 %; with four times the light 71 %.
const OVEREXPOSED = 0.3;
const WHITE = 250;
/*
 * How much of a step in brightness happens within one pixel, at the photo's steepest places: the 99th
 * percentile of differences between neighbours by that of pixels six apart, along rows and along
 * columns, the smaller one: a moving hand blurs in one direction. It does not depend on contrast.
 * As they are 1.3 %; blurred with a deviation of 2 of 256 pixels 97 %; moved by 8 pixels 93 %.
 */
const BLURRED = 0.21;
const FAR = 6;
// All this is measured at the same size, so that a phone's photo and a thumbnail compare.
const MEASURED_SIDE = 256;
// Pixels of the shorter side; below it the model is given less than it can see.
const SMALL = 160;

/*
 * The two views that are tried. Of 40 photos that were taken from 1.5 to 3 times too far and so left
 * the model unsure, the middle half of each side was answered rightly 36 times and wrongly once; of
 * 22 that were too dark, the brighter one was answered rightly 14 times and wrongly twice.
 */
const CLOSER = 0.5;
const BRIGHTNESS = 125; // the mean that a brighter view has
const BRIGHT_ENOUGH = 100;
const MOST_GAIN = 16;

/**
 * What is wrong with a photo.
 *
 * @param {Blob} blob
 * @param {{width: number, height: number}} size of the original
 * @returns {Promise<("isDark"|"isBright"|"isBlurred"|"isSmall")[]>} keys of texts
 */
export async function findFaults(blob, { width, height }) {
  const { grey, columns } = await measurable(blob);
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
 * Ask again about a closer view of a photo and, unless it is bright already, a brighter one.
 *
 * @param {Blob} blob
 * @param {(photos: {name: string, blob: Blob}[]) => Promise<object[]>} ask
 * @returns {Promise<{tried: string[], found: {change: string, entry: object}[]}>} changes are
 *   "closer" and "brighter"; found are those that make the model sure
 */
export async function tryOtherViews(blob, ask) {
  const bitmap = await createImageBitmap(blob);
  const views = [{ change: "closer", canvas: closer(bitmap) }];
  const { grey } = await measurable(blob);
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
  const entries = await ask(photos);
  return {
    tried: views.map(({ change }) => change),
    found: views
      .map(({ change }, index) => ({ change, entry: entries[index] }))
      .filter(({ entry }) => entry.label && isSure(entry.label)),
  };
}

/** A photo's brightness, at the size at which things are measured. */
async function measurable(blob) {
  const bitmap = await createImageBitmap(blob);
  const canvas = scaled(bitmap, MEASURED_SIDE);
  bitmap.close();
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return { grey: luminance(data), columns: canvas.width };
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** How steep the steepest places are, in the direction in which they are less so. */
function sharpness(grey, columns) {
  const rows = grey.length / columns;
  const steepness = (step, fits) => steep(grey, step, fits) / (steep(grey, FAR * step, fits) + 1);
  return Math.min(
    steepness(1, (i) => (i % columns) + FAR < columns),
    steepness(columns, (i) => i / columns + FAR < rows),
  );
}

/** The 99th percentile of differences between pixels `step` apart. */
function steep(grey, step, fits) {
  const steps = [];
  for (let i = 0; i < grey.length; i++) {
    if (fits(i)) steps.push(Math.abs(grey[i + step] - grey[i]));
  }
  steps.sort((a, b) => a - b);
  return steps[Math.floor(0.99 * (steps.length - 1))] ?? 0;
}

/** The middle of a photo. */
function closer(bitmap) {
  const [width, height] = [bitmap.width * CLOSER, bitmap.height * CLOSER];
  const canvas = new OffscreenCanvas(Math.ceil(width), Math.ceil(height));
  const [left, top] = [(bitmap.width - width) / 2, (bitmap.height - height) / 2];
  canvas
    .getContext("2d")
    .drawImage(bitmap, left, top, width, height, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** How much more light a photo needs. */
function gainFor(grey) {
  let [low, high] = [1, MOST_GAIN];
  for (let i = 0; i < 8; i++) {
    const gain = Math.sqrt(low * high);
    const table = withGain(gain);
    if (mean(grey.map((value) => table[Math.round(value)])) < BRIGHTNESS) low = gain;
    else high = gain;
  }
  return Math.sqrt(low * high);
}

/** The same photo with more light; changes the canvas. */
function brighter(canvas, gain) {
  const context = canvas.getContext("2d");
  const picture = context.getImageData(0, 0, canvas.width, canvas.height);
  const table = withGain(gain);
  for (let i = 0; i < picture.data.length; i++) {
    if (i % 4 !== 3) picture.data[i] = table[picture.data[i]];
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

/** What each sRGB value becomes with `gain` times the light. */
function withGain(gain) {
  return Uint8ClampedArray.from({ length: 256 }, (_, value) => {
    const light = Math.min(1, gain * linear(value / 255));
    return 255 * (light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055);
  });
}

function linear(value) {
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
}
