// @ts-check
/** Which part of a photo each dish is judged on, as inspector.py decides in the service. */

const MARGIN = 0.15; // around a dish, as a share of its box
const FILLS = 0.2; // share of the photo from which its only dish is judged in the whole photo
const MIN_VISIBLE = 0.7; // share of a dish at the photo's edge below which it cannot be called clean
const MIN_ASPECT = 0.25; // shorter by longer side of a box, likewise
const EDGE = 0.01; // share of the photo within which a box touches its edge

/**
 * @param {number[][]} boxes x0, y0, x1, y1 of the dishes, in pixels of the photo
 * @param {number} width
 * @param {number} height
 * @returns {number[][]} the crop of each dish, which its heatmap covers
 */
export function cropsOf(boxes, width, height) {
  if (boxes.length === 1 && area(boxes[0]) >= FILLS * width * height) {
    return [[0, 0, width, height]];
  }
  return boxes.map(([x0, y0, x1, y1]) => {
    const [x, y] = [MARGIN * (x1 - x0), MARGIN * (y1 - y0)];
    const [right, bottom] = [Math.min(width, x1 + x), Math.min(height, y1 + y)];
    return [Math.max(0, x0 - x), Math.max(0, y0 - y), right, bottom];
  });
}

/** Return whether most of a dish is probably out of sight; boxes hold what can be seen. */
export function isHidden([x0, y0, x1, y1], { width, height }) {
  const [wide, high] = [x1 - x0, y1 - y0];
  const touches = (start, end, length) => start <= EDGE * length || end >= (1 - EDGE) * length;
  return (
    Math.min(wide, high) < MIN_ASPECT * Math.max(wide, high) ||
    (touches(x0, x1, width) && wide < MIN_VISIBLE * high) ||
    (touches(y0, y1, height) && high < MIN_VISIBLE * wide)
  );
}

/**
 * Cut a crop out of a photo that may have been reduced.
 *
 * @param {import("./resize.js").Photo} photo
 * @param {number[]} crop in pixels of the whole photo
 * @param {{width: number, height: number}} whole
 * @returns {import("./resize.js").Photo} at least one pixel
 */
export function cut(photo, [x0, y0, x1, y1], whole) {
  const [x, y] = [photo.width / whole.width, photo.height / whole.height];
  const left = Math.min(Math.trunc(x0 * x), photo.width - 1);
  const top = Math.min(Math.trunc(y0 * y), photo.height - 1);
  const right = Math.min(Math.max(Math.ceil(x1 * x), left + 1), photo.width);
  const bottom = Math.min(Math.max(Math.ceil(y1 * y), top + 1), photo.height);
  const width = right - left;
  const rows = (first, count) => {
    const lines = photo.rows(top + first, count);
    const part = new Uint8ClampedArray(width * count * 4);
    for (let row = 0; row < count; row++) {
      const from = (row * photo.width + left) * 4;
      part.set(lines.subarray(from, from + width * 4), row * width * 4);
    }
    return part;
  };
  return { width, height: bottom - top, rows };
}

/** @param {number[]} box */
export function area([x0, y0, x1, y1]) {
  return (x1 - x0) * (y1 - y0);
}
