/**
 * Answers photos inside the browser, away from the page so that it stays responsive.
 *
 * Takes `{number, task, …}` and posts `{number, result}` or `{number, error}`, one after the other,
 * so that only one photo is in memory however many are asked for.
 */

import * as ort from "./vendor/ort.wasm.bundle.min.mjs";
import { openPhoto } from "./open-photo.js";
import { overlay } from "./overlay.js";

// Else ONNX Runtime starts workers of its own wherever the page is cross-origin isolated.
ort.env.wasm.numThreads = 1;

const TASKS = { load, answer };
let model = null;
let session = null;
let last = Promise.resolve();

self.addEventListener("message", ({ data }) => {
  last = last.then(() => carryOut(data));
});

/** Carry out one task and post what came of it. */
async function carryOut({ number, task, ...details }) {
  try {
    self.postMessage({ number, result: await TASKS[task](details) });
  } catch (error) {
    self.postMessage({ number, error: error.message });
  }
}

/** Fetch the model file and make it ready. */
async function load({ info, headers }) {
  const file = await fetchModel(headers);
  await checkFingerprint(file, info.id);
  try {
    session = await ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
  } catch (error) {
    throw new Error(`the model cannot be loaded in this browser: ${error.message}`);
  }
  model = info;
}

/** The model's ONNX file. */
async function fetchModel(headers) {
  let response;
  try {
    response = await fetch(new URL("../v1/model/file", import.meta.url), { headers });
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
  } catch {
    throw new Error("the model is not on this device yet, and the service cannot be reached");
  }
  const problem = await response.json().catch(() => ({}));
  throw new Error(problem.detail ?? `the service does not give the model (${response.status})`);
}

/**
 * Refuse a file of another model, as a cache may hold after an update: its classes and thresholds
 * would be wrong. The id ends in the start of the file's SHA-256.
 */
async function checkFingerprint(file, id) {
  if (!self.isSecureContext) return; // browsers then neither hash nor keep files for offline use
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", file));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (!hex.startsWith(id.split("-").at(-1))) {
    throw new Error("the model has changed; load the page again");
  }
}

/** What the service answers for one photo. */
async function answer({ blob, evidence }) {
  const pixels = await openPhoto(blob, model.size);
  const input = new ort.Tensor("uint8", pixels, [1, model.size, model.size, 3]);
  const found = await session.run({ [session.inputNames[0]]: input });
  const probabilities = [...found.probabilities.data];
  const oddness = found.oddness?.data[0];
  const probability = Math.max(...probabilities);
  if (!Number.isFinite(probability)) throw new Error("the model's answer is not a number");
  const likeliest = model.classes[probabilities.indexOf(probability)];
  const needed = model.thresholds[likeliest] ?? 0;
  const entry = {
    name: blob.name ?? "photo",
    label: label(likeliest, probability >= needed, oddness),
    probability,
    probabilities: Object.fromEntries(model.classes.map((name, i) => [name, probabilities[i]])),
    needed,
  };
  if (evidence && found.evidence) {
    const [, height, width] = found.evidence.dims;
    entry.evidence = await overlay(found.evidence.data, height, width);
  }
  return entry;
}

/** The class, or what is answered instead of one; as ModelInfo.label. */
function label(likeliest, sure, oddness) {
  if (model.oddness_limit !== null && oddness > model.oddness_limit) return "not a dish";
  return sure ? likeliest : "unsure";
}
