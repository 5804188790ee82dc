// @ts-check
/**
 * Inspections: the dishes found in a photo and what they say together.
 *
 * @typedef {{box: number[]|null, label: string, probability: number, needed?: number,
 *   probabilities: Record<string, number>, quality: string, heatmap?: string, crop?: number[],
 *   record?: number, receipt?: any}} Dish
 *   box: x0, y0, x1, y1 in pixels of the photo; null: the whole photo; heatmap: an image of
 *   `crop`; record: its id in the record of this shift; receipt: of feedback
 * @typedef {{verdict: string, dishes: Dish[], quality: string, width?: number, height?: number,
 *   error?: any}} Inspection
 *   verdict: a label of the dishes, or NO_DISH; "" with an error; dishes: the most urgent first
 */

import { describe, labelName } from "./labels.js";
import { t } from "./language.js";

export const NO_DISH = "no dish";
// Labels that need attention, in this order; all others come after them.
const URGENT = ["dirty", "unsure"];

/**
 * @param {any} answer item of `photos` in the response to POST /v1/inspect
 * @returns {Inspection}
 */
export function readInspection(answer) {
  const found = (answer.dishes ?? []).map((dish) => ({ quality: "ok", ...dish }));
  const dishes = found.filter(({ label }) => label !== "not a dish"); // as the classifier says
  dishes.sort((a, b) => urgency(a.label) - urgency(b.label) || position(a) - position(b));
  const known = dishes.length === found.length ? answer.verdict : null;
  const verdict = answer.error ? "" : (known ?? verdictOf(dishes, answer.quality));
  return { quality: "ok", ...answer, verdict, dishes };
}

/**
 * @param {any} answer item of `photos` in the response to POST /v1/predict: one dish, or none
 * @returns {Inspection}
 */
export function readPrediction({ name, error, evidence, ...prediction }) {
  const dishes = error ? [] : [{ ...prediction, box: null, heatmap: evidence }];
  return readInspection({ name, error, dishes, quality: prediction.quality ?? "ok" });
}

/** Sort key: labels that need attention come first. */
export function urgency(label) {
  const index = URGENT.indexOf(label);
  return index < 0 ? URGENT.length : index;
}

/** Return the label that needs attention most; "unsure" if there may be more dishes. */
export function verdictOf(dishes, quality = "ok") {
  const labels = dishes.map(({ label }) => label);
  if (labels.length && quality === "crowded") labels.push("unsure");
  return labels.sort((a, b) => urgency(a) - urgency(b))[0] ?? NO_DISH;
}

/** Sort key: reading order, in rows of a tenth of a typical photo's height. */
function position({ box }) {
  return box ? Math.round(box[1] / 100) * 1e5 + box[0] : 0;
}

/**
 * @param {Dish[]} dishes
 * @returns {string} such as "5 dishes: 3 clean, 1 dirty, 1 unsure"
 */
export function countsText(dishes) {
  const labels = dishes.map(({ label }) => label).sort();
  const counts = [...new Set(labels)].map((each) => {
    const count = labels.filter((label) => label === each).length;
    return t("countOf", { count, name: labelName(each).toLocaleLowerCase() });
  });
  return t("dishesAre", {
    dishes: t("dishesSeen", { count: dishes.length }),
    counts: counts.join(", "),
  });
}

/**
 * @param {Inspection} inspection
 * @returns {string} such as "Dirty" for one dish and "Dirty: 1 of 5" for several
 */
export function verdictText({ verdict, dishes }) {
  const answer = labelName(verdict);
  if (dishes.length < 2) return answer;
  const some = dishes.filter(({ label }) => label === verdict).length;
  const all = dishes.length;
  if (!some) return answer; // there may be more dishes
  return some === all ? t("allOf", { answer, all }) : t("someOf", { answer, some, all });
}

/**
 * @param {Inspection} inspection
 * @returns {string} such as "Dirty, very likely, 93%" or "5 dishes: 3 clean, 1 dirty, 1 unsure"
 */
export function describeInspection({ verdict, dishes }) {
  if (dishes.length > 1) return countsText(dishes);
  return dishes.length ? describe(dishes[0]) : labelName(verdict);
}
