/** Telling HEIC and HEIF files, which most browsers cannot read, from others. */

const BRANDS = ["heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1", "miaf"];

/** The first bytes of a file. */
export async function startOf(blob) {
  return new Uint8Array(await blob.slice(0, 64).arrayBuffer());
}

/** Whether a file that starts so is HEIC or HEIF; AVIF has its own brand beside one of these. */
export function isHeif(start) {
  const text = String.fromCharCode(...start);
  if (text.slice(4, 8) !== "ftyp") return false;
  const brands = text.slice(8).match(/.{4}/gs) ?? [];
  return brands.some((brand) => BRANDS.includes(brand)) && !/avi[fs]/.test(text);
}
