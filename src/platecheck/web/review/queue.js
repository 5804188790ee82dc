// @ts-check
/** The queue of photos to review, with skip and undo. */

export class Queue {
  #photos;
  #skipped = new Set();
  #history = []; // photos decided or skipped, in order
  #first = null; // photo whose decision was undone; comes first

  /** @param {{photo: string, decision: string|null}[]} photos */
  constructor(photos) {
    this.#photos = photos;
  }

  get count() {
    return this.#photos.length;
  }

  /** Number of photos with a decision. */
  get decided() {
    return this.#photos.filter(({ decision }) => decision !== null).length;
  }

  /** Number of skipped photos. */
  get skipped() {
    return this.#skipped.size;
  }

  get canUndo() {
    return this.#history.length > 0;
  }

  /** Return up to `count` open photos, the next one first. */
  next(count) {
    const open = this.#photos.filter(
      (item) => item.decision === null && !this.#skipped.has(item) && item !== this.#first,
    );
    return [...(this.#first ? [this.#first] : []), ...open].slice(0, count);
  }

  decide(item, label) {
    item.decision = label;
    this.#record(item);
  }

  skip(item) {
    this.#skipped.add(item);
    this.#record(item);
  }

  /** The photo that undo() would put back. */
  get last() {
    return this.#history.at(-1);
  }

  undo() {
    this.#first = this.#history.pop();
    this.#first.decision = null;
    this.#skipped.delete(this.#first);
  }

  /** Put skipped photos back. */
  requeueSkipped() {
    this.#skipped.clear();
  }

  /** Remove a deleted photo. */
  remove(item) {
    this.#photos = this.#photos.filter((other) => other !== item);
    this.#history = this.#history.filter((other) => other !== item);
    if (this.#first === item) this.#first = null;
  }

  #record(item) {
    this.#history.push(item);
    if (this.#first === item) this.#first = null;
  }
}
