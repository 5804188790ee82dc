// @ts-check
/**
 * Worker that inspects photos with ONNX Runtime Web, as inspector.py does in the service.
 *
 * Receives `{number, task, …}` and posts `{number, result}` or `{number, error}`. Tasks run one
 * after the other, so only one photo is in memory at a time.
 */

import { area, cropsOf, cut, isHidden } from "./crops.js";
import { chooseDishes, letterbox } from "./detect.js";
import { decodePhoto } from "./open-photo.js";
import { overlay } from "./overlay.js";
import { findFault } from "./quality.js";
import { resize } from "./resize.js";
import * as ort from "./vendor/ort.wasm.bundle.min.mjs";

// Otherwise ONNX Runtime starts workers of its own where the page is cross-origin isolated.
ort.env.wasm.numThreads = 1;

const TASKS = { load, inspect };
let model = null;
let classifier = null; // sessions
let detector = null;
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

/** Fetch the model files and start their sessions. */
async function load({ info, headers }) {
  classifier = await startSession("v1/model/file", info.id, headers);
  // Without a detector, a photo is taken for one dish.
  if (info.detector) detector = await startSession("v1/model/dishes", info.detector.id, headers);
  model = info;
}

async function startSession(path, id, headers) {
  const file = await fetchModel(path, headers);
  await verifyDigest(file, id);
  try {
    return await ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
  } catch (error) {
    throw new Error(`the model cannot be loaded in this browser: ${error.message}`);
  }
}

/** Return an ONNX file. */
async function fetchModel(path, headers) {
  let response;
  try {
    response = await fetch(new URL(`../${path}`, import.meta.url), { headers });
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

/** Inspect a photo; the result has the fields of the service's. */
async function inspect({ blob, heatmap }) {
  const photo = await decodePhoto(blob);
  try {
    const { width, height } = photo;
    const opened = photo.reduced(model.size);
    const { found, isCrowded } = await findDishes(opened, photo);
    const crops = cropsOf(
      found.map(({ box }) => box ?? [0, 0, width, height]),
      width,
      height,
    );
    const source = sourceOf(crops, photo, opened);
    const dishes = [];
    for (const [index, crop] of crops.entries()) {
      const dish = {
        ...found[index],
        crop,
        ...(await classify(cut(source, crop, photo), heatmap)),
      };
      dishes.push(isWhole(crops, photo) ? dish : asPart(dish, photo));
    }
    const fault = dishes.map(({ quality }) => quality).find((each) => each !== "ok");
    const isEmpty = dishes.every(({ label }) => label === "not a dish");
    const ofPhoto = () => (isEmpty ? findFault(opened) : isCrowded ? "crowded" : "ok");
    const quality = fault ?? (model.quality_check ? ofPhoto() : "ok");
    return { name: blob.name ?? "photo", width, height, dishes, quality };
  } finally {
    photo.close();
  }
}

/** Find the dishes; without a detector, the photo is one dish without a box. */
async function findDishes(opened, { width, height }) {
  if (!detector) return { found: [{ box: null, score: 1 }], isCrowded: false };
  const { size } = model.detector;
  const input = new ort.Tensor("uint8", letterbox(opened, size), [1, size, size, 3]);
  const { boxes, scores } = await detector.run({ [detector.inputNames[0]]: input });
  const [x, y] = [width / opened.width, height / opened.height];
  const chosen = chooseDishes(boxes.data, scores.data, model.detector, opened);
  const scaled = (box) => box.map((side, index) => side * (index % 2 ? y : x));
  return { ...chosen, found: chosen.found.map((each) => ({ ...each, box: scaled(each.box) })) };
}

/** Return the photo at the size that the smallest crop needs. */
function sourceOf(crops, photo, opened) {
  const { width, height } = photo;
  const side = Math.min(...crops.map(([x0, y0, x1, y1]) => Math.min(x1 - x0, y1 - y0)));
  const share = Math.min(1, model.size / Math.max(side, 1));
  if (isWhole(crops, photo) || opened.height >= share * height) return opened;
  return photo.reduced(Math.ceil(share * width), Math.ceil(share * height), true);
}

function isWhole(crops, { width, height }) {
  return crops.length === 1 && area(crops[0]) === width * height;
}

/** Return a dish of several, or a small one: never "not a dish", nor clean if hidden. */
function asPart(dish, photo) {
  const label = dish.label === "not a dish" ? "unsure" : dish.label;
  const judged = { ...dish, label };
  if (!model.quality_check || dish.quality !== "ok" || !isHidden(dish.box, photo)) return judged;
  return { ...judged, label: withQuality(label, "partly hidden"), quality: "partly hidden" };
}

/** Classify a photo of one dish. */
async function classify(photo, heatmap) {
  const input = new ort.Tensor("uint8", resize(photo, model.size), [1, model.size, model.size, 3]);
  const outputs = await classifier.run({ [classifier.inputNames[0]]: input });
  const probabilities = [...outputs.probabilities.data];
  const probability = Math.max(...probabilities);
  if (!Number.isFinite(probability)) throw new Error("the model's output is not a number");
  const likeliest = model.classes[probabilities.indexOf(probability)];
  const needed = model.thresholds[likeliest] ?? 0;
  const quality = model.quality_check ? findFault(photo) : "ok";
  const answer = {
    label: decide(likeliest, probability >= needed, outputs.oddness?.data[0], quality),
    ...{ probability, needed, quality },
    probabilities: Object.fromEntries(model.classes.map((name, i) => [name, probabilities[i]])),
  };
  if (!heatmap || !outputs.evidence) return answer;
  const [, rows, columns] = outputs.evidence.dims;
  return { ...answer, heatmap: await overlay(outputs.evidence.data, rows, columns) };
}

/** Return the class, "unsure" or "not a dish", like ModelInfo.label and Prediction.with_quality. */
function decide(likeliest, confident, oodScore, quality) {
  if (model.oddness_limit !== null && oodScore > model.oddness_limit) return "not a dish";
  return withQuality(confident ? likeliest : "unsure", quality);
}

function withQuality(label, quality) {
  return label.toLowerCase() === "clean" && quality !== "ok" ? "unsure" : label;
}
