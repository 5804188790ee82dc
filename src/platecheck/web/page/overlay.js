// @ts-check
/** Draw the dirt heatmap, as the service does. */

import { BICUBIC, filterWeights } from "./resize.js";

const COLOR = [255, 0, 90];
// Heatmap values are transparent up to LOW and reach MAX_OPACITY at HIGH.
const LOW = 0.22;
const HIGH = 0.7;
const MAX_OPACITY = 0.7;
// Pixels per cell, as in the service's image; the browser scales it to the photo.
const UPSAMPLING = 4;

/**
 * Draw a heatmap as an image to scale to the upright photo.
 *
 * @param {Float32Array} heatmap [height, width], values in [0, 1]
 * @param {number} height
 * @param {number} width
 * @returns {Promise<string>} PNG as a data: URL
 */
export async function overlay(heatmap, height, width) {
  const columns = stretchRows(heatmap, height, width);
  const smooth = stretchRows(columns, width * UPSAMPLING, height);
  const image = new ImageData(width * UPSAMPLING, height * UPSAMPLING);
  smooth.forEach((dirt, index) => {
    const strength = Math.min(1, Math.max(0, (dirt - LOW) / (HIGH - LOW)));
    image.data.set([...COLOR, Math.round(255 * MAX_OPACITY * strength)], index * 4);
  });
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return dataUrl(await canvas.convertToBlob({ type: "image/png" }));
}

/** Upsample the rows of a map and transpose it: [rows, columns] → [wider, rows]. */
function stretchRows(map, rows, columns) {
  const filters = filterWeights(columns, columns * UPSAMPLING, BICUBIC);
  const stretched = new Float32Array(filters.length * rows);
  filters.forEach(({ first, weights }, x) => {
    for (let y = 0; y < rows; y++) {
      const from = y * columns + first;
      stretched[x * rows + y] = weights.reduce((sum, weight, i) => sum + weight * map[from + i], 0);
    }
  });
  return stretched;
}

function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
