/** Making photos ready to be sent: upright, not larger than it helps, with a small picture. */

import { thumbnailOf } from "./thumbnail.js";

/**
 * Larger photos are scaled down before they are sent. The model looks at a few hundred pixels a
 * side, so 1024 keep everything that it can see, and a photo of a phone becomes 10 to 30 times
 * smaller: on a slow network that is the difference between a second and half a minute.
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
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return { blob: file, width: null, height: null, thumbnail: null };
  }
  try {
    const { width, height } = bitmap;
    const fits = Math.max(width, height) <= LARGEST_SIDE && file.size <= LARGEST_AS_IT_IS;
    const thumbnail = await thumbnailOf(bitmap);
    if (fits) return { blob: file, width, height, thumbnail };
    return { blob: await jpeg(scaled(bitmap, LARGEST_SIDE)), width, height, thumbnail };
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
