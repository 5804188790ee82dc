/**
 * What a watched camera's frames say, without flicker.
 *
 * An answer counts when two in a row agree. The dish has changed when the picture is another one
 * than that which was answered, and has come to rest again.
 *
 * How different two pictures are is the mean difference of 32 × 24 pixel thumbnails, each brought to
 * mean 0 and deviation 1, so that a lamp or the camera's exposure is no change. Measured on 60
 * rendered dishes: the same scene with other noise 0.03 at most, 20 % brighter 0.11 (95th
 * percentile), moved by a hundredth of its width 0.13 (median); the dish taken away 0.59, another
 * dish on the same table 0.41 (both 5th percentile).
 */
const CHANGED = 0.35;
const MOVING = 0.12;
// Below this deviation of brightness (0 to 255) a picture is plain, and its noise not a pattern.
const PLAIN = 10;
// How fast the remembered picture follows slow changes, such as daylight.
const FOLLOW = 0.1;

export class Steady {
  #last = null; // the thumbnail of the last frame
  #answered = null; // that of the answer that is shown
  #candidate = null; // the last answer
  #doubted = false; // whether the shown answer has to be confirmed
  shown = null;
  /** Whether the picture is another one than that of the shown answer. */
  changed = false;

  /** Whether the shown answer is that of the picture as it is now. */
  get holds() {
    return this.shown !== null && !this.changed && !this.#doubted;
  }

  /** The frames broke off: until two new ones agree, the shown answer does not hold. */
  doubt() {
    this.#doubted = true;
    this.#candidate = null;
    this.#last = null;
  }

  /**
   * Take in a frame and its answer.
   *
   * @param {Float32Array} grey its thumbnail
   * @param {object} entry its answer
   * @returns {"new dish"|"answer"|null} what has become of the shown answer
   */
  step(grey, entry) {
    const resting = this.#last === null || difference(grey, this.#last) < MOVING;
    this.#last = grey;
    this.changed = this.#answered === null || difference(grey, this.#answered) > CHANGED;
    if (this.changed && !resting) {
      this.#candidate = null; // a hand in the picture, or a dish on its way
      return null;
    }
    const agreed = this.#candidate?.label === entry.label;
    this.#candidate = entry;
    if (!agreed) return null;
    const event = this.changed ? "new dish" : entry.label !== this.shown.label ? "answer" : null;
    this.#answered = event ? grey : follow(this.#answered, grey);
    this.shown = entry;
    this.changed = false;
    this.#doubted = false;
    return event;
  }
}

/** How different two thumbnails are, apart from brightness and contrast. */
export function difference(one, other) {
  const [a, b] = [normalized(one), normalized(other)];
  return mean(a.map((value, i) => Math.abs(value - b[i])));
}

function normalized(grey) {
  const middle = mean(grey);
  const deviation = Math.sqrt(mean(grey.map((value) => (value - middle) ** 2)));
  return grey.map((value) => (value - middle) / Math.max(deviation, PLAIN));
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function follow(old, fresh) {
  return old.map((value, i) => value + FOLLOW * (fresh[i] - value));
}
