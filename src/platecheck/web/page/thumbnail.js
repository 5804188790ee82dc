// @ts-check
/** Thumbnails: of photos for the table, of video frames for motion detection. */

const SIDE = 96;
const GREY_WIDTH = 32;
const GREY_HEIGHT = 24;

/**
 * Encode the central square of an image as a small JPEG.
 *
 * @param {ImageBitmap} bitmap
 * @returns {Promise<Blob>}
 */
export function makeThumbnail(bitmap) {
  const canvas = new OffscreenCanvas(SIDE, SIDE);
  const side = Math.min(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, SIDE, SIDE);
  context.imageSmoothingQuality = "high";
  const [left, top] = [(bitmap.width - side) / 2, (bitmap.height - side) / 2];
  context.drawImage(bitmap, left, top, side, side, 0, 0, SIDE, SIDE);
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.8 });
}

/**
 * Return a frame in grayscale at 32 × 24 pixels.
 *
 * @param {OffscreenCanvas} frame
 * @returns {Float32Array} 0 to 255
 */
export function greyThumbnail(frame) {
  const canvas = new OffscreenCanvas(GREY_WIDTH, GREY_HEIGHT);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(frame, 0, 0, GREY_WIDTH, GREY_HEIGHT);
  return luminance(context.getImageData(0, 0, GREY_WIDTH, GREY_HEIGHT).data);
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
