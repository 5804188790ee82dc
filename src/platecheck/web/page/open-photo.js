// @ts-check
/**
 * Decode photos for the models on this device, as photo.py does in the service.
 *
 * The browser decodes, so the formats depend on it (no TIFF, HEIC only with system support), and
 * pixels may differ from the service's by a level or two.
 */

import { isHeif, readHeader } from "./heif.js";
import { shrink } from "./resize.js";

// The service decodes a JPEG at 1/2, 1/4 or 1/8 of its size if that leaves at least so many times the
// target size; averaging as many pixels here gives the same result.
const DRAFT_FACTOR = 2;

/**
 * Decode a photo: upright, on white.
 *
 * @param {Blob} blob
 * @returns {Promise<{width: number, height: number, close: () => void,
 *   reduced: (width: number, height?: number, exact?: boolean) => import("./resize.js").Photo}>}
 *   reduced returns what is to be resized to this size; with `exact`, at least this size
 */
export async function decodePhoto(blob) {
  const header = await readHeader(blob);
  const bitmap = await decode(blob, header);
  const { width, height } = bitmap;
  const photo = onWhite(bitmap);
  const reduced = (wantedWidth, wantedHeight = wantedWidth, exact = false) => {
    const least = exact ? 1 : DRAFT_FACTOR;
    const most = Math.min(width / wantedWidth, height / wantedHeight) / least;
    const factor = isJpeg(header) ? [8, 4, 2].find((each) => each <= most) : undefined;
    return factor ? shrink(photo, factor) : photo;
  };
  return { width, height, reduced, close: () => bitmap.close() };
}

/** Decode with the EXIF orientation applied and color profiles ignored. */
async function decode(blob, header) {
  try {
    return await createImageBitmap(blob, {
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new Error(decodeErrorMessage(header));
  }
}

/** Return the service's message for a file that cannot be decoded. */
function decodeErrorMessage(header) {
  const text = String.fromCharCode(...header);
  if (!text) return "the file is empty";
  if (isHeif(header)) return "this browser cannot read HEIC photos without the service";
  const known = isJpeg(header) || ["\x89PNG", "GIF8", "RIFF"].includes(text.slice(0, 4));
  return known
    ? "the file is damaged or cut short"
    : "it is not a photo in a format that can be read";
}

function isJpeg(header) {
  return header[0] === 0xff && header[1] === 0xd8 && header[2] === 0xff;
}

/** Wrap a bitmap as a photo for resize.js, drawn on white a few rows at a time. */
function onWhite(bitmap) {
  const { width, height } = bitmap;
  let context = null;
  const rows = (top, count) => {
    if (context?.canvas.height !== count) context = createContext(width, count);
    context.fillRect(0, 0, width, count);
    context.drawImage(bitmap, 0, top, width, count, 0, 0, width, count);
    return context.getImageData(0, 0, width, count).data;
  };
  return { width, height, rows };
}

/** Create a canvas context in CPU memory, since it is read often. */
function createContext(width, height) {
  const context = new OffscreenCanvas(width, height).getContext("2d", {
    alpha: false,
    willReadFrequently: true,
  });
  context.fillStyle = "white";
  context.imageSmoothingEnabled = false;
  return context;
}
