// @ts-check
/** Totals of dishes by label as tiles, and dishes as lines of a list. */

import { icon, make } from "./elements.js";
import { kindOf, labelName } from "./labels.js";
import { t, timeOfDay } from "./language.js";

/** Count labels; clean, dirty and unsure are there even if there are none. */
export function countLabels(labels) {
  const counts = new Map(["clean", "dirty", "unsure"].map((label) => [label, 0]));
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return counts;
}

/** Return a list item for each label; a total of nothing has no color. */
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

/** Return a list item for a dish; `url`: of its picture, if there is one. */
export function dishLine({ label, url, time }, ...notes) {
  const picture = url
    ? make("img", { src: url, alt: "", width: 44, height: 44 })
    : make("span", { class: "no-thumbnail" }, icon("plate"));
  const kind = kindOf(label);
  const badge = make("span", { class: "badge", data: { kind } }, icon(kind), labelName(label));
  const lines = notes.map((textContent) => make("span", { class: "line-note", textContent }));
  const at = make("time", { dateTime: time.toISOString(), textContent: timeOfDay(time) });
  return make("li", {}, picture, badge, ...lines, at);
}
