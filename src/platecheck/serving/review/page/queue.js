/** The photos to review, in order: which is next, what was done last. */

export class Queue {
  #photos;
  #skipped = new Set();
  #done = []; // what was decided or skipped here, in order
  #first = null; // goes before all others: what was undone

  /** @param {{photo: string, decision: string|null}[]} photos */
  constructor(photos) {
    this.#photos = photos;
  }

  get count() {
    return this.#photos.length;
  }

  /** How many have a decision. */
  get decided() {
    return this.#photos.filter(({ decision }) => decision !== null).length;
  }

  /** How many were skipped, and not decided later. */
  get skipped() {
    return this.#skipped.size;
  }

  get canUndo() {
    return this.#done.length > 0;
  }

  /** The photos to decide, the next one first. */
  next(count) {
    const open = this.#photos.filter(
      (item) => item.decision === null && !this.#skipped.has(item) && item !== this.#first,
    );
    return [...(this.#first ? [this.#first] : []), ...open].slice(0, count);
  }

  decide(item, label) {
    item.decision = label;
    this.#did(item);
  }

  skip(item) {
    this.#skipped.add(item);
    this.#did(item);
  }

  /** What was done last; `undo` puts it in front again. */
  get last() {
    return this.#done.at(-1);
  }

  undo() {
    this.#first = this.#done.pop();
    this.#first.decision = null;
    this.#skipped.delete(this.#first);
  }

  /** Skipped photos are there again. */
  takeSkipped() {
    this.#skipped.clear();
  }

  /** A photo was deleted. */
  remove(item) {
    this.#photos = this.#photos.filter((other) => other !== item);
    this.#done = this.#done.filter((other) => other !== item);
    if (this.#first === item) this.#first = null;
  }

  #did(item) {
    this.#done.push(item);
    if (this.#first === item) this.#first = null;
  }
}
