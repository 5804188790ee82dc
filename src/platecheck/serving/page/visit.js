/** The photos of this visit and their answers: in memory only, gone with the tab. */

import { prepare } from "./prepare.js";

let numbers = 0;

/**
 * A photo of this visit.
 *
 * `state` is "waiting", "asking", "done", "failed" (`entry.error` says why) or "stopped".
 */
export function newRow(file) {
  numbers += 1;
  return {
    number: numbers,
    name: file.name || `photo-${numbers}.jpg`,
    file,
    state: "waiting",
    entry: null,
    where: "",
    time: null,
    feedback: null, // what was given and is kept, as the service says
    thumbnail: null,
    prepared: null,
  };
}

/** What prepare() gives for a row's photo; the row keeps it until it is answered. */
export function prepareRow(row) {
  row.prepared ??= prepare(row.file).then((prepared) => {
    if (!row.thumbnail && prepared.thumbnail) {
      row.thumbnail = URL.createObjectURL(prepared.thumbnail);
    }
    return prepared;
  });
  return row.prepared;
}

/** Forget the large picture; the file itself stays where it is, and can be prepared again. */
export function letGo(row) {
  row.prepared = null;
}

/** Forget a row's thumbnail too. */
export function forget(row) {
  letGo(row);
  if (row.thumbnail) URL.revokeObjectURL(row.thumbnail);
  row.thumbnail = null;
}

/** By what a row is found under "show only": its label, or its state where there is none. */
export function groupOf(row) {
  return row.state === "done" ? row.entry.label : row.state;
}
