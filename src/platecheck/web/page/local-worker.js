// @ts-check
/**
 * Worker that classifies photos with ONNX Runtime Web.
 *
 * Receives `{number, task, …}` and posts `{number, result}` or `{number, error}`. Tasks run one
 * after the other, so only one photo is in memory at a time.
 */

import { openPhoto } from "./open-photo.js";
import { overlay } from "./overlay.js";
import * as ort from "./vendor/ort.wasm.bundle.min.mjs";

// Otherwise ONNX Runtime starts workers of its own where the page is cross-origin isolated.
ort.env.wasm.numThreads = 1;

const TASKS = { load, predict };
let model = null;
let session = null;
let last = Promise.resolve();

self.addEventListener("message", ({ data }) => {
  last = last.then(() => runTask(data));
});

/** Run a task and post its result. */
async function runTask({ number, task, ...details }) {
  try {
    self.postMessage({ number, result: await TASKS[task](details) });
  } catch (error) {
    self.postMessage({ number, error: error.message });
  }
}

/** Fetch the model file and start a session. */
async function load({ info, headers }) {
  const file = await fetchModel(headers);
  await verifyDigest(file, info.id);
  try {
    session = await ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
  } catch (error) {
    throw new Error(`the model cannot be loaded in this browser: ${error.message}`);
  }
  model = info;
}

/** Return the model's ONNX file. */
async function fetchModel(headers) {
  let response;
  try {
    response = await fetch(new URL("../v1/model/file", import.meta.url), { headers });
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
  } catch {
    throw new Error("the model is not on this device yet, and the service cannot be reached");
  }
  const problem = await response.json().catch(() => ({}));
  throw new Error(
    problem.detail ?? `the service did not return the model (HTTP ${response.status})`,
  );
}

/**
 * Reject the file of another model, which a cache may hold after an update: its classes and
 * thresholds would be wrong. The id ends in the first digits of the file's SHA-256.
 */
async function verifyDigest(file, id) {
  if (!self.isSecureContext) return; // insecure contexts have neither hashing nor a cache
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", file));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (!hex.startsWith(id.split("-").at(-1))) {
    throw new Error("the model has changed; reload the page");
  }
}

/** Classify a photo; the result has the fields of the service's. */
async function predict({ blob, evidence }) {
  const pixels = await openPhoto(blob, model.size);
  const input = new ort.Tensor("uint8", pixels, [1, model.size, model.size, 3]);
  const outputs = await session.run({ [session.inputNames[0]]: input });
  const probabilities = [...outputs.probabilities.data];
  const oodScore = outputs.oddness?.data[0];
  const probability = Math.max(...probabilities);
  if (!Number.isFinite(probability)) throw new Error("the model's output is not a number");
  const topClass = model.classes[probabilities.indexOf(probability)];
  const threshold = model.thresholds[topClass] ?? 0;
  const prediction = {
    name: blob.name ?? "photo",
    label: decide(topClass, probability >= threshold, oodScore),
    probability,
    probabilities: Object.fromEntries(model.classes.map((name, i) => [name, probabilities[i]])),
    needed: threshold,
  };
  if (evidence && outputs.evidence) {
    const [, height, width] = outputs.evidence.dims;
    prediction.evidence = await overlay(outputs.evidence.data, height, width);
  }
  return prediction;
}

/** Return the class, "unsure" or "not a dish", like ModelInfo.label. */
function decide(topClass, confident, oodScore) {
  if (model.oddness_limit !== null && oodScore > model.oddness_limit) return "not a dish";
  return confident ? topClass : "unsure";
}
