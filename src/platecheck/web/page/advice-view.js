// @ts-check
/** Explain an answer that is not certain, and say what photo would help. */

import { byId, make } from "./elements.js";
import { isConfident, labelName, topClass } from "./labels.js";
import { formatThreshold, percent, t } from "./language.js";

// Texts for what is wrong with a photo: what it is, and what to do.
const FAULTS = {
  "too small": ["isSmall", "moveCloser"],
  "too dark": ["isDark", "addLight"],
  "too bright": ["isBright", "turnAway"],
  "low JPEG quality": ["isCompressed", "sendOriginal"],
  "too blurred": ["isBlurred", "holdStill"],
  "too noisy": ["isNoisy", "addLight"],
  "partly hidden": ["isHidden", "showWhole"],
  crowded: ["isCrowded", "showFewer"],
};

/**
 * Show advice on a dish, or on a photo without one or with more than were found.
 *
 * @param {import("./inspection.js").Inspection} inspection
 * @param {number|null} selected index of the dish
 * @param {Record<string, number>} thresholds of the classes
 */
export function showAdvice({ dishes, quality, verdict }, selected, thresholds) {
  const dish = dishes[selected];
  const isCrowded = quality === "crowded" && verdict === "unsure";
  const ofDish = dish && !(isCrowded && isConfident(dish.label));
  const fault = FAULTS[ofDish ? dish.quality : quality];
  const [why, ...advice] =
    !dishes.length && !fault
      ? [t("whyNoDish"), t("aimAtDishes"), t("moveCloser")]
      : fault
        ? [t(fault[0]), t(fault[1]), t("takeAnother")]
        : ofDish && !isConfident(dish.label)
          ? [whyUnsure(dish, thresholds), t("checkYourself"), t("takeAnother")]
          : [];
  const isSettled = ofDish ? isConfident(dish.label) : dishes.length > 0 && !isCrowded;
  byId("advice").hidden = isSettled || !why;
  byId("advice-why").textContent = why ?? "";
  byId("advice-list").replaceChildren(...advice.map((text) => make("li", { textContent: text })));
}

function whyUnsure(dish, thresholds) {
  const name = topClass(dish);
  return t("whyUnsure", {
    name: labelName(name),
    percent: percent(dish.probability),
    needed: formatThreshold(dish.needed ?? thresholds[name] ?? 0),
  });
}
