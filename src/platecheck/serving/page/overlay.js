/** What heatmap.py is to the command line: where the dirt is, to lay over the photo. */

import { BICUBIC, filterWeights } from "./resize.js";

const COLOUR = [255, 0, 90];
// Below the first nothing is drawn, from the second on the colour is as strong as it gets.
const FAINT = 0.22;
const FULL = 0.7;
const STRONGEST = 0.7;
// As many pixels a cell as the service draws; the browser stretches the rest of the way.
const SMOOTHED = 4;

/**
 * Draw an evidence map as a picture to stretch over the upright photo.
 *
 * @param {Float32Array} evidence in [0, 1], [height, width]
 * @returns {Promise<string>} a PNG as a data URL, transparent where there is no dirt
 */
export async function overlay(evidence, height, width) {
  const columns = stretchRows(evidence, height, width);
  const smooth = stretchRows(columns, width * SMOOTHED, height);
  const picture = new ImageData(width * SMOOTHED, height * SMOOTHED);
  smooth.forEach((dirt, place) => {
    const strength = Math.min(1, Math.max(0, (dirt - FAINT) / (FULL - FAINT)));
    picture.data.set([...COLOUR, Math.round(255 * STRONGEST * strength)], place * 4);
  });
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return dataUrl(await canvas.convertToBlob({ type: "image/png" }));
}

/** Stretch the rows of a map, and exchange rows and columns: [rows, columns] → [wider, rows]. */
function stretchRows(map, rows, columns) {
  const filters = filterWeights(columns, columns * SMOOTHED, BICUBIC);
  const stretched = new Float32Array(filters.length * rows);
  filters.forEach(({ first, weights }, x) => {
    for (let y = 0; y < rows; y++) {
      const from = y * columns + first;
      stretched[x * rows + y] = weights.reduce((sum, weight, i) => sum + weight * map[from + i], 0);
    }
  });
  return stretched;
}

/** The content of a blob as a data: URL. */
function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
