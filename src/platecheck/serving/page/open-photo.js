/**
 * What photo.py is to the service: the door through which pixels enter.
 *
 * The browser decodes, so what can be read depends on it (TIFF cannot, HEIC only where the system
 * can), and a decoder may differ from the service's by a level or two.
 */

import { isHeif, startOf } from "./heif.js";
import { resize, shrink } from "./resize.js";

// The service decodes a JPEG at 1/2, 1/4 or 1/8 of its size as long as twice the wanted sides are
// left; so the means of as many pixels are taken here.
const DRAFT_FACTOR = 2;

/**
 * Decode a photo, upright, on white, as the model takes it.
 *
 * @param {Blob} blob the file
 * @param {number} size pixels of the square
 * @returns {Promise<Uint8Array>} RGB [size, size, 3]
 */
export async function openPhoto(blob, size) {
  const start = await startOf(blob);
  const bitmap = await decode(blob, start);
  try {
    const photo = onWhite(bitmap);
    const factor = isJpeg(start) ? draft(bitmap, size * DRAFT_FACTOR) : 1;
    return resize(factor > 1 ? shrink(photo, factor) : photo, size);
  } finally {
    bitmap.close();
  }
}

/** The browser's decoder, with EXIF's orientation applied and colour profiles left alone. */
async function decode(blob, start) {
  try {
    return await createImageBitmap(blob, {
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new Error(whyUnreadable(start));
  }
}

/** The service's words for a file that cannot be decoded. */
function whyUnreadable(start) {
  const text = String.fromCharCode(...start);
  if (!text) return "the file is empty";
  if (isHeif(start)) return "this browser cannot read HEIC photos without the service";
  const known = isJpeg(start) || ["\x89PNG", "GIF8", "RIFF"].includes(text.slice(0, 4));
  return known
    ? "the file is damaged or cut short"
    : "it is not a photo in a format that can be read";
}

/** Whether a file starts like a JPEG. */
function isJpeg(start) {
  return start[0] === 0xff && start[1] === 0xd8 && start[2] === 0xff;
}

/** The factor at which the service would decode a JPEG. */
function draft({ width, height }, least) {
  return [8, 4, 2].find((factor) => Math.min(width, height) >= factor * least) ?? 1;
}

/** A bitmap as a photo for resize.js, drawn a few rows at a time on white. */
function onWhite(bitmap) {
  const { width, height } = bitmap;
  let context = null;
  const rows = (top, count) => {
    if (context?.canvas.height !== count) context = canvas(width, count);
    context.fillRect(0, 0, width, count);
    context.drawImage(bitmap, 0, top, width, count, 0, 0, width, count);
    return context.getImageData(0, 0, width, count).data;
  };
  return { width, height, rows };
}

/** A white canvas that is read often, so it is kept out of the graphics card. */
function canvas(width, height) {
  const context = new OffscreenCanvas(width, height).getContext("2d", {
    alpha: false,
    willReadFrequently: true,
  });
  context.fillStyle = "white";
  context.imageSmoothingEnabled = false;
  return context;
}
