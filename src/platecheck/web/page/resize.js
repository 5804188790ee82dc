// @ts-check
/**
 * Resize bit-identically to Pillow, so that the model's input is the same as in training.
 *
 * A photo here is `{width, height, rows(top, count)}`; `rows` returns RGBA [count, width, 4]. Rows
 * are read a few at a time, so a large photo is never in memory twice.
 *
 * @typedef {{width: number, height: number,
 *   rows: (top: number, count: number) => Uint8ClampedArray}} Photo
 */

const ROWS_AT_ONCE = 32;
// Pillow's fixed-point weights for 8-bit images are multiples of 1 / 2^22.
const PRECISION_BITS = 22;
const HALF = 1 << (PRECISION_BITS - 1);

/** Pillow's filters with their support (radius). */
const BILINEAR = { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) };
export const BICUBIC = { support: 2, at: bicubic };

/** Cubic convolution kernel with a = -0.5. */
function bicubic(x) {
  const distance = Math.abs(x);
  if (distance < 1) return (1.5 * distance - 2.5) * distance * distance + 1;
  return distance < 2 ? (((distance - 5) * distance + 8) * distance - 4) * -0.5 : 0;
}

/**
 * Compute the weights of the input pixels for each output pixel.
 *
 * @param {number} inputs input pixels
 * @param {number} outputs output pixels
 * @param {{support: number, at: (x: number) => number}} filter
 * @returns {{first: number, weights: number[]}[]} for each output pixel, the first input pixel and
 *   weights that sum to 1
 */
export function filterWeights(inputs, outputs, filter) {
  const scale = inputs / outputs;
  const stretch = Math.max(scale, 1); // widen the filter when downscaling
  const support = filter.support * stretch;
  return Array.from({ length: outputs }, (_, output) => {
    const center = (output + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(inputs, Math.trunc(center + support + 0.5));
    const weights = [];
    for (let input = first; input < end; input++) {
      weights.push(filter.at((input - center + 0.5) * (1 / stretch)));
    }
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => (sum ? weight * (1 / sum) : weight)) };
  });
}

/**
 * Resize a photo like Pillow's `resize(…, BILINEAR)`, without alpha.
 *
 * @param {Photo} photo
 * @param {number} width
 * @param {number} [height] as large as the width by default
 * @returns {Uint8Array} RGB [height, width, 3]
 */
export function resize(photo, width, height = width) {
  const [rows, line] = [photo.height, width * 3];
  const narrow = new Uint8Array(rows * line);
  const across = integerWeights(photo.width, width);
  for (let top = 0; top < rows; top += ROWS_AT_ONCE) {
    const count = Math.min(ROWS_AT_ONCE, rows - top);
    const source = { pixels: photo.rows(top, count), step: 4, line: photo.width * 4, lines: count };
    filterLines(source, across, { pixels: narrow, start: top * line, step: 3, line });
  }
  const resized = new Uint8Array(height * line);
  const columns = { pixels: narrow, step: line, line: 3, lines: width };
  filterLines(columns, integerWeights(rows, height), {
    pixels: resized,
    start: 0,
    step: line,
    line: 3,
  });
  return resized;
}

/** Return filter weights as Pillow's fixed-point integers. */
function integerWeights(inputs, outputs) {
  return filterWeights(inputs, outputs, BILINEAR).map(({ first, weights }) => ({
    first,
    weights: Int32Array.from(weights, (weight) => Math.trunc(weight * (1 << PRECISION_BITS) + 0.5)),
  }));
}

/** Filter every line; `step` is the offset of the next pixel, `line` that of the next line. */
function filterLines(source, filters, target) {
  for (let line = 0; line < source.lines; line++) {
    let to = target.start + line * target.line;
    for (const { first, weights } of filters) {
      let from = line * source.line + first * source.step;
      let red = HALF;
      let green = HALF;
      let blue = HALF;
      for (let tap = 0; tap < weights.length; tap++) {
        red += source.pixels[from] * weights[tap];
        green += source.pixels[from + 1] * weights[tap];
        blue += source.pixels[from + 2] * weights[tap];
        from += source.step;
      }
      target.pixels[to] = red >> PRECISION_BITS;
      target.pixels[to + 1] = green >> PRECISION_BITS;
      target.pixels[to + 2] = blue >> PRECISION_BITS;
      to += target.step;
    }
  }
}

/**
 * Shrink a photo by averaging blocks of factor × factor pixels.
 *
 * @param {Photo} photo
 * @param {number} factor
 * @returns {Photo}
 */
export function shrink(photo, factor) {
  const width = Math.ceil(photo.width / factor);
  const height = Math.ceil(photo.height / factor);
  const rows = (top, count) => {
    const means = new Uint8ClampedArray(count * width * 4);
    const available = Math.min(count * factor, photo.height - top * factor);
    const pixels = photo.rows(top * factor, available);
    for (let y = 0; y < count; y++) {
      const yEnd = Math.min((y + 1) * factor, available);
      for (let x = 0; x < width; x++) {
        const xEnd = Math.min((x + 1) * factor, photo.width);
        let [red, green, blue] = [0, 0, 0];
        for (let fromY = y * factor; fromY < yEnd; fromY++) {
          for (let fromX = x * factor; fromX < xEnd; fromX++) {
            const from = (fromY * photo.width + fromX) * 4;
            red += pixels[from];
            green += pixels[from + 1];
            blue += pixels[from + 2];
          }
        }
        const area = (yEnd - y * factor) * (xEnd - x * factor);
        means.set([red / area, green / area, blue / area, 255], (y * width + x) * 4);
      }
    }
    return means;
  };
  return { width, height, rows };
}

/** Round as Python does. */
export function roundHalfToEven(value) {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 ? rounded - 1 : rounded;
}
