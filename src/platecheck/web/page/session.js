// @ts-check
/** The photos of this session and their inspections: in memory only, gone with the tab. */

import { prepare } from "./prepare.js";

let numbers = 0;

/**
 * Create the row of a photo.
 *
 * `state` is "waiting", "running", "done", "failed" (see `inspection.error`) or "stopped".
 *
 * @param {File} file
 */
export function newRow(file) {
  numbers += 1;
  return {
    number: numbers,
    name: file.name || `photo-${numbers}.jpg`,
    file,
    state: "waiting",
    /** @type {import("./inspection.js").Inspection|null} */
    inspection: null,
    source: "",
    time: null,
    recorded: false, // in the shift's record
    thumbnail: null,
    prepared: null,
  };
}

/**
 * Prepare a row's photo once; the result is kept until release().
 *
 * @param {any} row
 * @returns {ReturnType<typeof prepare>}
 */
export function prepareRow(row) {
  row.prepared ??= prepare(row.file).then((prepared) => {
    if (!row.thumbnail && prepared.thumbnail) {
      row.thumbnail = URL.createObjectURL(prepared.thumbnail);
    }
    return prepared;
  });
  return row.prepared;
}

/** Release the prepared photo; prepareRow() can make it again. */
export function release(row) {
  row.prepared = null;
}

/** Release a row's thumbnail too. */
export function dispose(row) {
  release(row);
  if (row.thumbnail) URL.revokeObjectURL(row.thumbnail);
  row.thumbnail = null;
}

/**
 * Return the group that the filter puts a row in.
 *
 * @param {any} row
 * @returns {string} its verdict, or its state if it has none
 */
export function groupOf(row) {
  return row.state === "done" ? row.inspection.verdict : row.state;
}
