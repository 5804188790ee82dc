// @ts-check
/** Detect HEIC and HEIF files, which most browsers cannot decode. */

const BRANDS = ["heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1", "miaf"];

/**
 * Read the first bytes of a file.
 *
 * @param {Blob} blob
 * @returns {Promise<Uint8Array>}
 */
export async function readHeader(blob) {
  return new Uint8Array(await blob.slice(0, 64).arrayBuffer());
}

/**
 * @param {Uint8Array} header first bytes of a file
 * @returns {boolean} whether it is HEIC or HEIF; AVIF shares a brand with them and is excluded
 */
export function isHeif(header) {
  const text = String.fromCharCode(...header);
  if (text.slice(4, 8) !== "ftyp") return false;
  const brands = text.slice(8).match(/.{4}/gs) ?? [];
  return brands.some((brand) => BRANDS.includes(brand)) && !/avi[fs]/.test(text);
}
