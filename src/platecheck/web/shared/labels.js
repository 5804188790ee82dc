// @ts-check
/** Present predictions: label name, kind (which sets shape and color), confidence. */

import { percent, t } from "./language.js";

// Labels that have a shape and a color of their own: their kind and the key of their text.
const KINDS = {
  clean: ["clean", "clean"],
  dirty: ["dirty", "dirty"],
  unsure: ["unsure", "unsure"],
  "not a dish": ["nothing", "notADish"],
  "no dish": ["nothing", "noDish"],
};

/**
 * Lower bounds of the likelihood phrases. These are the IPCC's bands (virtually certain 99 %, very
 * likely 90 %, likely 66 %, more likely than not 50 %). The probabilities are calibrated on
 * validation photos.
 *
 * @type {[number, string][]}
 */
const BANDS = [
  [0.99, "almostCertain"],
  [0.9, "veryLikely"],
  [0.66, "probably"],
  [0.5, "moreLikelyThanNot"],
  [0, "mostLikely"],
];

/**
 * @param {string} label
 * @returns {string} kind; "other" for the classes of other models
 */
export function kindOf(label) {
  return KINDS[label]?.[0] ?? "other";
}

/**
 * @param {string} label
 * @returns {string} translated name; the classes of other models are not translated
 */
export function labelName(label) {
  return KINDS[label] ? t(KINDS[label][1]) : label;
}

/**
 * @param {string} label
 * @returns {boolean} whether the label is a class of the model
 */
export function isConfident(label) {
  return !["unsure", "not a dish", "no dish"].includes(label);
}

/**
 * @param {string} label
 * @returns {boolean} whether to show the heatmap; on a clean dish it would contradict the label
 */
export function showsHeatmap(label) {
  return label !== "clean" && label !== "not a dish";
}

/**
 * @param {number} probability
 * @returns {string} such as "very likely"
 */
export function likelihoodPhrase(probability) {
  return t(BANDS.find(([from]) => probability >= from)[1]);
}

/**
 * @param {{label: string, probability: number}} prediction
 * @returns {string} such as "very likely, 93%"; empty unless the label is a class
 */
export function confidenceText({ label, probability }) {
  return isConfident(label) ? `${likelihoodPhrase(probability)}, ${percent(probability)}` : "";
}

/**
 * @param {{label: string, probability: number}} prediction
 * @returns {string} such as "Dirty, very likely, 93%"
 */
export function describe(prediction) {
  return [labelName(prediction.label), confidenceText(prediction)].filter(Boolean).join(", ");
}

/**
 * @param {{probabilities: Record<string, number>}} prediction
 * @returns {string} the most probable class
 */
export function topClass({ probabilities }) {
  return Object.keys(probabilities).reduce((best, name) =>
    probabilities[name] > probabilities[best] ? name : best,
  );
}
