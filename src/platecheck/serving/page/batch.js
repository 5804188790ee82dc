/** Asking about many photos: a few a request, two requests at a time, with a stop in between. */

import { NobodyAnswers } from "./ask.js";
import { Refused } from "./service.js";

// Two requests at a time: while one is answered the next is scaled down and sent.
const LANES = 2;
const PHOTOS = 8;
// A request should get through a slow network well within the service's time limit.
const BYTES = 2 ** 20;

/**
 * Asks about rows until each has an answer.
 *
 * Fires "row" (detail: the row) when one has changed, "trouble" (detail: the error) when nobody
 * answers, and "end" when there is nothing left to do.
 */
export class Batch extends EventTarget {
  #ask;
  #prepareRow;
  #waiting = [];
  #unanswered = new Set(); // waiting, or being asked about
  #lanes = 0;
  #stop = new AbortController();

  /**
   * @param {import("./ask.js").Asker} ask
   * @param {(row: object) => Promise<object>} prepareRow gives what prepare() does
   */
  constructor(ask, prepareRow) {
    super();
    this.#ask = ask;
    this.#prepareRow = prepareRow;
  }

  get isRunning() {
    return this.#lanes > 0;
  }

  /** Ask about these rows too. */
  add(rows) {
    const others = rows.filter((row) => !this.#unanswered.has(row));
    for (const row of others) this.#unanswered.add(row);
    this.#waiting.push(...others);
    this.#start();
  }

  /** Stop; rows that have no answer yet are "stopped", and can be added again. */
  stop() {
    this.#stop.abort();
    for (const row of this.#waiting) this.#set(row, "stopped");
    this.#waiting = [];
  }

  #start() {
    if (this.#stop.signal.aborted) this.#stop = new AbortController();
    while (this.#lanes < LANES && this.#lanes < this.#waiting.length) {
      this.#lanes += 1;
      this.#lane(this.#stop.signal).finally(() => {
        this.#lanes -= 1;
        // Rows may wait again: it was stopped, and went on at once.
        if (this.#waiting.length) this.#start();
        else if (!this.isRunning) this.dispatchEvent(new Event("end"));
      });
    }
  }

  async #lane(signal) {
    while (!signal.aborted && this.#waiting.length) {
      const chunk = await this.#take(signal);
      if (chunk.length) await this.#answer(chunk, signal);
    }
  }

  /** The next rows, ready to be sent: as many as fit in a request. */
  async #take(signal) {
    await this.#ask.connected;
    const limits = this.#ask.model?.limits;
    // One that was opened may have been answered meanwhile.
    for (const row of this.#waiting) if (row.state === "done") this.#unanswered.delete(row);
    this.#waiting = this.#waiting.filter((row) => row.state !== "done");
    // On this device photos are answered one by one, and each should be seen at once.
    const most = this.#ask.where === "service" ? Math.min(PHOTOS, limits.photos) : 1;
    const rows = this.#waiting.splice(0, most);
    for (const row of rows) this.#set(row, "asking");
    const chunk = [];
    let bytes = 0;
    while (rows.length && !signal.aborted) {
      const { blob } = await this.#prepareRow(rows[0]);
      if (blob.size > limits?.photo_bytes) {
        this.#fail(rows.shift(), new Refused(413, "the photo is too large"));
        continue;
      }
      bytes += blob.size;
      if (chunk.length && bytes > BYTES) break;
      chunk.push(rows.shift());
    }
    if (signal.aborted) return [...chunk, ...rows];
    for (const row of rows) this.#set(row, "waiting");
    this.#waiting.unshift(...rows);
    return chunk;
  }

  async #answer(rows, signal) {
    try {
      signal.throwIfAborted();
      const photos = await Promise.all(
        rows.map(async (row) => ({
          name: row.name,
          blob: (await this.#prepareRow(row)).blob,
        })),
      );
      const { entries, where } = await this.#ask.answer(photos, { signal });
      rows.forEach((row, index) => this.#done(row, entries[index], where));
    } catch (error) {
      if (signal.aborted) {
        for (const row of rows) this.#set(row, "stopped");
      } else if (error instanceof NobodyAnswers) {
        this.stop();
        for (const row of rows) this.#set(row, "stopped");
        this.dispatchEvent(new CustomEvent("trouble", { detail: error }));
      } else if (rows.length > 1 && isTooMuch(error)) {
        const half = Math.ceil(rows.length / 2);
        await this.#answer(rows.slice(0, half), signal);
        await this.#answer(rows.slice(half), signal);
      } else {
        for (const row of rows) this.#fail(row, error);
      }
    }
  }

  #done(row, entry, where) {
    Object.assign(row, { entry, where, time: new Date() });
    this.#set(row, entry.error ? "failed" : "done");
  }

  #fail(row, error) {
    Object.assign(row, { entry: { error }, where: "", time: new Date() });
    this.#set(row, "failed");
  }

  #set(row, state) {
    row.state = state;
    if (state !== "waiting" && state !== "asking") this.#unanswered.delete(row);
    this.dispatchEvent(new CustomEvent("row", { detail: row }));
  }
}

/** Whether fewer photos in a request may get through. */
function isTooMuch(error) {
  return error instanceof Refused && (error.status === 413 || error.status === 408);
}
