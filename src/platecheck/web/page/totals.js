// @ts-check
/** Totals of dishes by label, as tiles. */

import { icon, make } from "./elements.js";
import { kindOf, labelName } from "./labels.js";
import { t } from "./language.js";

/**
 * Count labels; clean, dirty and unsure are there even if there are none.
 *
 * @param {string[]} labels
 * @returns {Map<string, number>}
 */
export function countLabels(labels) {
  const counts = new Map(["clean", "dirty", "unsure"].map((label) => [label, 0]));
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return counts;
}

/**
 * @param {Map<string, number>} counts
 * @returns {HTMLElement[]} list items; a total of nothing has no color
 */
export function totalTiles(counts) {
  return [...counts].map(([label, count]) =>
    make(
      "li",
      { data: { kind: count ? kindOf(label) : "waiting" } },
      icon(kindOf(label)),
      make("strong", { textContent: t("number", { count }) }),
      make("span", { textContent: labelName(label) }),
    ),
  );
}
