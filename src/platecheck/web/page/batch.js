// @ts-check
/** Inspect many photos: a few per request, two requests at a time. */

import { UnavailableError } from "./inference-client.js";
import { ServiceError } from "./service.js";
import { prepareRow } from "./session.js";

// While one request is processed, the photos of the next are scaled down and sent.
const WORKERS = 2;
const MAX_PHOTOS = 8;
// Small enough for a slow network to transfer well within the service's timeout.
const MAX_BYTES = 2 ** 20;

/**
 * Inspects rows until none is left. Dispatches "row" (detail: the row) when one has changed,
 * "error" (detail: the UnavailableError) and "end" when the queue is empty.
 */
export class Batch extends EventTarget {
  #client;
  #queue = [];
  #pending = new Set(); // queued or running
  #workers = 0;
  #controller = new AbortController();

  /** @param {import("./inference-client.js").InferenceClient} client */
  constructor(client) {
    super();
    this.#client = client;
  }

  get isRunning() {
    return this.#workers > 0;
  }

  /** Add rows to the queue. */
  add(rows) {
    const others = rows.filter((row) => !this.#pending.has(row));
    for (const row of others) this.#pending.add(row);
    this.#queue.push(...others);
    this.#start();
  }

  /** Stop. Rows without an inspection become "stopped" and can be added again. */
  stop() {
    this.#controller.abort();
    for (const row of this.#queue) this.#setState(row, "stopped");
    this.#queue = [];
  }

  #start() {
    if (this.#controller.signal.aborted) this.#controller = new AbortController();
    while (this.#workers < WORKERS && this.#workers < this.#queue.length) {
      this.#workers += 1;
      this.#work(this.#controller.signal).finally(() => {
        this.#workers -= 1;
        // Rows may be queued again: stopped and resumed at once.
        if (this.#queue.length) this.#start();
        else if (!this.isRunning) this.dispatchEvent(new Event("end"));
      });
    }
  }

  async #work(signal) {
    while (!signal.aborted && this.#queue.length) {
      const chunk = await this.#take(signal);
      if (chunk.length) await this.#inspect(chunk, signal);
    }
  }

  /** Take rows off the queue and prepare them: as many as fit in a request. */
  async #take(signal) {
    await this.#client.connected;
    const limits = this.#client.model?.limits;
    // Opening a row inspects it outside of the queue.
    for (const row of this.#queue) if (row.state === "done") this.#pending.delete(row);
    this.#queue = this.#queue.filter((row) => row.state !== "done");
    // This device inspects photos one by one; show each result at once.
    const most = this.#client.status === "service" ? Math.min(MAX_PHOTOS, limits.photos) : 1;
    const rows = this.#queue.splice(0, most);
    for (const row of rows) this.#setState(row, "running");
    const chunk = [];
    let bytes = 0;
    while (rows.length && !signal.aborted) {
      const { blob } = await prepareRow(rows[0]);
      if (blob.size > limits?.photo_bytes) {
        this.#fail(rows.shift(), new ServiceError(413, "the photo is too large"));
        continue;
      }
      bytes += blob.size;
      if (chunk.length && bytes > MAX_BYTES) break;
      chunk.push(rows.shift());
    }
    if (signal.aborted) return [...chunk, ...rows];
    for (const row of rows) this.#setState(row, "waiting");
    this.#queue.unshift(...rows);
    return chunk;
  }

  async #inspect(rows, signal) {
    try {
      signal.throwIfAborted();
      const photos = await Promise.all(
        rows.map(async (row) => ({
          name: row.name,
          blob: (await prepareRow(row)).blob,
        })),
      );
      const { inspections, source } = await this.#client.inspect(photos, { signal });
      rows.forEach((row, index) => this.#done(row, inspections[index], source));
    } catch (error) {
      if (signal.aborted) {
        for (const row of rows) this.#setState(row, "stopped");
      } else if (error instanceof UnavailableError) {
        this.stop();
        for (const row of rows) this.#setState(row, "stopped");
        this.dispatchEvent(new CustomEvent("error", { detail: error }));
      } else if (rows.length > 1 && isTooLarge(error)) {
        const half = Math.ceil(rows.length / 2);
        await this.#inspect(rows.slice(0, half), signal);
        await this.#inspect(rows.slice(half), signal);
      } else {
        for (const row of rows) this.#fail(row, error);
      }
    }
  }

  #done(row, inspection, source) {
    this.#finish(row, { inspection, source }, inspection.error ? "failed" : "done");
  }

  #fail(row, error) {
    this.#finish(row, { inspection: { error }, source: "" }, "failed");
  }

  /** Store what was answered, unless the row was opened and answered in the meantime. */
  #finish(row, answer, state) {
    if (row.state !== "done") Object.assign(row, { ...answer, time: new Date() });
    this.#setState(row, state);
  }

  #setState(row, state) {
    if (row.state !== "done") row.state = state;
    if (state !== "waiting" && state !== "running") this.#pending.delete(row);
    this.dispatchEvent(new CustomEvent("row", { detail: row }));
  }
}

/** Whether a request with fewer photos may succeed. */
function isTooLarge(error) {
  return error instanceof ServiceError && (error.status === 413 || error.status === 408);
}
