/** Making photos ready to be sent: upright, not larger than it helps, with a small picture. */

import { thumbnailOf } from "./thumbnail.js";

/**
 * Larger photos are scaled down before they are sent: a phone's photo becomes about ten times
 * smaller, on a slow network the difference between a second and half a minute. The model looks at
 * a few hundred pixels a side. Of 60 rendered photos of 9 megapixels the probability moved by 0.004
 * on average; three that were on the edge became or ceased to be unsure, none changed its class.
 */
export const LARGEST_SIDE = 1024;
const QUALITY = 0.92;
// A photo that is small already is sent as it is, unless it is kept in a wasteful format.
const LARGEST_AS_IT_IS = 2 * 2 ** 20;

/**
 * Make a photo ready.
 *
 * @param {Blob} file
 * @returns {Promise<{blob: Blob, width: number|null, height: number|null, thumbnail: Blob|null}>}
 *   the file itself, without sizes, where this browser cannot read it: the service may
 */
export async function prepare(file) {
  try {
    return await scaledDown(file);
  } catch {
    return { blob: file, width: null, height: null, thumbnail: null };
  }
}

async function scaledDown(file) {
  const bitmap = await createImageBitmap(file);
  try {
    const { width, height } = bitmap;
    const fits = Math.max(width, height) <= LARGEST_SIDE && file.size <= LARGEST_AS_IT_IS;
    const thumbnail = await thumbnailOf(bitmap);
    const blob = fits ? file : await jpeg(scaled(bitmap, LARGEST_SIDE));
    return { blob, width, height, thumbnail };
  } finally {
    bitmap.close();
  }
}

/**
 * A picture on a canvas, its longer side at most `side`.
 *
 * It is halved until one step is left: drawn at once, browsers skip pixels, and what they skip
 * may be the specks.
 *
 * @param {ImageBitmap|HTMLVideoElement|OffscreenCanvas} picture
 * @returns {OffscreenCanvas}
 */
export function scaled(picture, side) {
  let [width, height] = sizeOf(picture);
  const factor = Math.min(1, side / Math.max(width, height));
  const target = [width, height].map((length) => Math.max(1, Math.round(length * factor)));
  let current = picture;
  while (width > 2 * target[0]) {
    [width, height] = [Math.ceil(width / 2), Math.ceil(height / 2)];
    current = draw(current, width, height);
  }
  return draw(current, ...target);
}

/** A canvas as a JPEG file. */
export function jpeg(canvas) {
  return canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
}

function sizeOf(picture) {
  return picture.videoWidth
    ? [picture.videoWidth, picture.videoHeight]
    : [picture.width, picture.height];
}

function draw(picture, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.fillStyle = "white"; // a JPEG has no transparency, and the service puts it on white
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, width, height);
  return canvas;
}
