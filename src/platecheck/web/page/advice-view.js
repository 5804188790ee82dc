// @ts-check
/** Explain an unconfident prediction and advise how to take a better photo. */

import { findFaults, tryOtherViews } from "./advice.js";
import { byId, make } from "./elements.js";
import { isConfident, labelName, topClass } from "./labels.js";
import { formatThreshold, percent, t } from "./language.js";

// Texts for a view whose label is the photo's top class, and for any other.
const VIEW_TEXTS = {
  closer: ["tryCloser", "mayCloser"],
  brighter: ["tryBrighter", "mayBrighter"],
};

export class AdviceView {
  #client;
  #controller = null;
  #explanation = () => "";
  #lines = new Map(); // list items, with functions that return their texts

  /** @param {import("./inference-client.js").InferenceClient} client */
  constructor(client) {
    this.#client = client;
  }

  /** Show advice on a classified row, unless its prediction is confident. */
  async show(row, prepared) {
    this.clear();
    if (isConfident(row.prediction.label)) return;
    this.#controller = new AbortController();
    const { signal } = this.#controller;
    byId("advice").hidden = false;
    this.#explanation = () => explain(row.prediction);
    byId("advice-why").textContent = this.#explanation();
    byId("advice-trying").hidden = !prepared.width;
    if (!prepared.width) {
      this.#add(() => t("takeAnother"));
      return;
    }

    const faults = await findFaults(prepared.blob, prepared);
    if (signal.aborted) return;
    for (const fault of faults.filter((each) => each !== "isBlurred")) {
      this.#add(() => t(fault, prepared));
    }
    // Patterns and small photos can look blurred; a view that helps is better evidence.
    let blurred = faults.includes("isBlurred") && !faults.includes("isSmall");
    try {
      const { tried, found } = await tryOtherViews(prepared.blob, async (photos) => {
        const { predictions } = await this.#client.predict(photos, { signal });
        return predictions;
      });
      if (signal.aborted) return;
      // Views that help go first: the faults measured above may be unrelated.
      for (const view of found.reverse()) this.#addFirst(() => viewAdvice(row.prediction, view));
      blurred &&= !found.length;
      const noHelp = tried.length > 1 ? "noViewHelps" : "closerDoesNotHelp";
      if (!found.length) this.#add(() => t(noHelp));
    } catch {
      if (signal.aborted) return; // otherwise only general advice is shown
    }
    byId("advice-trying").hidden = true;
    if (blurred) this.#add(() => t("isBlurred"));
    this.#add(() => t("takeAnother"));
  }

  clear() {
    this.#controller?.abort();
    this.#lines.clear();
    byId("advice-list").replaceChildren();
    byId("advice").hidden = true;
  }

  translate() {
    byId("advice-why").textContent = this.#explanation();
    for (const [line, text] of this.#lines) line.textContent = text();
  }

  #add(text) {
    byId("advice-list").append(this.#line(text));
  }

  #addFirst(text) {
    byId("advice-list").prepend(this.#line(text));
  }

  #line(text) {
    const line = make("li", { textContent: text() });
    this.#lines.set(line, text);
    return line;
  }
}

function explain(prediction) {
  if (prediction.label === "not a dish") return t("whyNotADish");
  return t("whyUnsure", {
    name: labelName(topClass(prediction)),
    percent: percent(prediction.probability),
    needed: formatThreshold(prediction.needed),
  });
}

/** Describe a view that helps; its label is given only if it is the photo's top class. */
function viewAdvice(prediction, { change, prediction: { label, probability } }) {
  const [certain, possible] = VIEW_TEXTS[change];
  if (prediction.label === "unsure" && label !== topClass(prediction)) return t(possible);
  return t(certain, { answer: labelName(label), percent: percent(probability) });
}
