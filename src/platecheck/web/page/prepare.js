// @ts-check
/** Prepare photos for upload: upright, scaled down, with a thumbnail. */

/**
 * Pixels of the longer side after scaling down. A phone's photo becomes about five times smaller,
 * and a dish that takes a seventh of the width still has as many pixels as the model's input.
 */
export const LARGEST_SIDE = 2048;
const QUALITY = 0.92;
const THUMBNAIL_SIDE = 96;
// Bytes up to which a photo with few pixels is sent unchanged.
const MAX_UNCHANGED_BYTES = 2 * 2 ** 20;

/**
 * Prepare a photo.
 *
 * @param {Blob} file
 * @returns {Promise<{blob: Blob, width: number|null, height: number|null, thumbnail: Blob|null}>}
 *   the unchanged file without a size if this browser cannot decode it; the service may
 */
export async function prepare(file) {
  try {
    return await scaleDown(file);
  } catch {
    return { blob: file, width: null, height: null, thumbnail: null };
  }
}

async function scaleDown(file) {
  const bitmap = await createImageBitmap(file);
  try {
    const { width, height } = bitmap;
    const fits = Math.max(width, height) <= LARGEST_SIDE && file.size <= MAX_UNCHANGED_BYTES;
    const thumbnail = await makeThumbnail(bitmap);
    const blob = fits ? file : await jpeg(scaled(bitmap, LARGEST_SIDE));
    return { blob, width, height, thumbnail };
  } finally {
    bitmap.close();
  }
}

/**
 * Draw an image on a canvas, scaled down so that its longer side is at most `side`.
 *
 * The image is halved repeatedly: when drawn in one step, browsers skip pixels, and with them specks
 * of dirt.
 *
 * @param {ImageBitmap|HTMLVideoElement|OffscreenCanvas} image
 * @param {number} side
 * @returns {OffscreenCanvas}
 */
export function scaled(image, side) {
  let [width, height] = sizeOf(image);
  const factor = Math.min(1, side / Math.max(width, height));
  const target = [width, height].map((length) => Math.max(1, Math.round(length * factor)));
  let current = image;
  while (width > 2 * target[0]) {
    [width, height] = [Math.ceil(width / 2), Math.ceil(height / 2)];
    current = draw(current, width, height);
  }
  return draw(current, ...target);
}

/**
 * Encode a canvas as JPEG.
 *
 * @param {OffscreenCanvas} canvas
 * @returns {Promise<Blob>}
 */
export function jpeg(canvas) {
  return canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
}

/**
 * @param {Uint8ClampedArray} rgba pixels
 * @returns {Float32Array} luminance (ITU-R BT.601), 0 to 255
 */
export function luminance(rgba) {
  const grey = new Float32Array(rgba.length / 4);
  for (let i = 0; i < grey.length; i++) {
    grey[i] = 0.299 * rgba[4 * i] + 0.587 * rgba[4 * i + 1] + 0.114 * rgba[4 * i + 2];
  }
  return grey;
}

/**
 * Cut dishes out of a photo.
 *
 * @param {Blob|OffscreenCanvas} photo
 * @param {{box: number[]|null}[]} dishes
 * @param {number} side pixels of the longer side at most
 * @returns {Promise<Blob[]>} a JPEG of each
 */
export async function cutOut(photo, dishes, side = THUMBNAIL_SIDE) {
  if (!dishes.length) return [];
  const bitmap = await createImageBitmap(photo);
  const pieces = dishes.map(({ box }) => {
    const [x0, y0, x1, y1] = box ?? [0, 0, bitmap.width, bitmap.height];
    const [width, height] = [x1 - x0, y1 - y0].map((length) => Math.max(1, Math.round(length)));
    const context = whiteCanvas(width, height);
    context.drawImage(bitmap, x0, y0, width, height, 0, 0, width, height);
    return jpeg(scaled(context.canvas, side));
  });
  bitmap.close();
  return Promise.all(pieces);
}

/** Encode the central square of an image as a small JPEG. */
function makeThumbnail(bitmap) {
  const side = Math.min(bitmap.width, bitmap.height);
  const [left, top] = [(bitmap.width - side) / 2, (bitmap.height - side) / 2];
  const context = whiteCanvas(THUMBNAIL_SIDE, THUMBNAIL_SIDE);
  context.drawImage(bitmap, left, top, side, side, 0, 0, THUMBNAIL_SIDE, THUMBNAIL_SIDE);
  return context.canvas.convertToBlob({ type: "image/jpeg", quality: 0.8 });
}

function sizeOf(image) {
  return image.videoWidth ? [image.videoWidth, image.videoHeight] : [image.width, image.height];
}

function draw(image, width, height) {
  const context = whiteCanvas(width, height);
  context.drawImage(image, 0, 0, width, height);
  return context.canvas;
}

/** Return a context on white: JPEG has no transparency, and the service uses white, too. */
function whiteCanvas(width, height) {
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  return context;
}
