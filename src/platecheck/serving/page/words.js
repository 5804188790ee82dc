/** An answer in words: its name, its kind (which gives shape and colour), how sure it is. */

import { NobodyAnswers } from "./ask.js";
import { percent, reason, t } from "./language.js";

// The answers that have a shape and a colour of their own, and their texts.
const KINDS = {
  clean: ["clean", "clean"],
  dirty: ["dirty", "dirty"],
  unsure: ["unsure", "unsure"],
  "not a dish": ["nothing", "notADish"],
};

/**
 * From which probability on which words are said. These are the bands in which the IPCC's reports
 * speak of likelihood (virtually certain 99 %, very likely 90 %, likely 66 %, more likely than not
 * 50 %). They are honest as far as the probabilities are, which were calibrated on validation
 * photos.
 */
const BANDS = [
  [0.99, "almostCertain"],
  [0.9, "veryLikely"],
  [0.66, "probably"],
  [0.5, "moreLikely"],
  [0, "likeliest"],
];

/** The kind of an answer; the classes of other models are all "other". */
export function kindOf(label) {
  return KINDS[label]?.[0] ?? "other";
}

/** An answer's name; the class of another model is shown as it is. */
export function nameOf(label) {
  return KINDS[label] ? t(KINDS[label][1]) : label;
}

/** Whether an answer is a class, and not a way to say that there is none. */
export function isSure(label) {
  return label !== "unsure" && label !== "not a dish";
}

/** Whether a map of dirt goes with an answer: with "clean" it would say the contrary. */
export function mayShowDirt(label) {
  return label !== "clean" && label !== "not a dish";
}

/** How sure, in words. */
export function sureness(probability) {
  return t(BANDS.find(([from]) => probability >= from)[1]);
}

/** How sure, in words and as a number; nothing for an answer that is no class. */
export function surenessOf({ label, probability }) {
  return isSure(label) ? `${sureness(probability)}, ${percent(probability)}` : "";
}

// What is said of an HTTP status; of others the service's own words.
const STATUSES = { 408: "tooSlow", 413: "tooLarge", 503: "tooBusy" };

/** Why there is no answer: of an entry's `error`, or of what was thrown. */
export function whyNot(error) {
  if (error instanceof NobodyAnswers) return t(error.key, { why: reason(error.message) });
  if (STATUSES[error.status]) return t(STATUSES[error.status]);
  if (error.status >= 500) return t("serviceFault", { status: error.status });
  return error.detail ? reason(error.detail) : t("unreadable");
}

/** The likeliest class of an answer. */
export function likeliest({ probabilities }) {
  return Object.keys(probabilities).reduce((best, name) =>
    probabilities[name] > probabilities[best] ? name : best,
  );
}
