// @ts-check
/**
 * The record of answers on this device: one entry per dish, in IndexedDB, for a number of days.
 *
 * Recording never fails: where a browser forbids storage, there is simply no record.
 *
 * @typedef {{id?: number, time: Date, shift: string, station: string, name: string, label: string,
 *   probability: number, source: string, right?: string|null, picture?: Blob|null}} DishRecord
 *   shift: when it began (ISO 8601); right: the true label that the user gave; picture: a small
 *   JPEG of a dish that is not clean
 */

import { loadSetting } from "./settings.js";

/** Days after which a record is deleted. */
export const DAYS = 14;
const STORE = "dishes";
// A pause of as many hours begins a new shift.
const PAUSE = 5;
const HOUR = 3600 * 1000;

/** Dispatches "change" when records were added, corrected or erased. */
export const recordEvents = new EventTarget();

let database = null; // promise

export function isRecording() {
  return loadSetting("record") !== "off";
}

/**
 * Record dishes, if that is switched on.
 *
 * @param {object[]} dishes with `name`, `label`, `probability`, `source` and `picture`
 * @param {Date} time of their answer
 * @returns {Promise<number[]>} their ids; empty if they are not recorded
 */
export async function addRecords(dishes, time) {
  if (!isRecording() || !dishes.length) return [];
  const station = loadSetting("station") ?? "";
  return change(async (store) => {
    const shift = await currentShift(store, time);
    return Promise.all(dishes.map((dish) => done(store.add({ ...dish, time, station, shift }))));
  });
}

/** Change a record, such as its true label. */
export function updateRecord(id, changes) {
  return change(async (store) => {
    const record = await done(store.get(id));
    if (record) await done(store.put({ ...record, ...changes }));
  });
}

/** @returns {Promise<DishRecord[]>} in the order of time */
export function readRecords() {
  return transact((store) => done(store.getAll())).catch(() => []);
}

/** Delete all records. */
export function eraseRecords() {
  return change((store) => done(store.clear()));
}

/** Return when the shift at `now` began: after the last long pause, or when the user said so. */
async function currentShift(store, now) {
  const cursor = await done(store.index("time").openCursor(IDBKeyRange.upperBound(now), "prev"));
  const { time, shift } = cursor?.value ?? {};
  const started = loadSetting("shift") ?? "";
  if (!time || now - time > PAUSE * HOUR) return now.toISOString();
  return started > shift && started <= now.toISOString() ? started : shift;
}

async function change(action) {
  const result = await transact(action).catch(() => []);
  recordEvents.dispatchEvent(new Event("change"));
  return result;
}

/** Run an action on the store, without what is too old; resolve once it is complete. */
async function transact(action) {
  database ??= open();
  const transaction = (await database).transaction(STORE, "readwrite");
  const store = transaction.objectStore(STORE);
  const [result] = await Promise.all([
    deleteOld(store).then(() => action(store)),
    new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    }),
  ]);
  return result;
}

function open() {
  const request = indexedDB.open("platecheck", 1);
  request.onupgradeneeded = () => {
    const options = { keyPath: "id", autoIncrement: true };
    request.result.createObjectStore(STORE, options).createIndex("time", "time");
  };
  return done(request);
}

async function deleteOld(store) {
  const old = IDBKeyRange.upperBound(new Date(Date.now() - DAYS * 24 * HOUR));
  const keys = await done(store.index("time").getAllKeys(old));
  for (const key of keys) store.delete(key);
}

/** Resolve to the result of a request. */
function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
