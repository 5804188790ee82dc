/** What would make the model sure: why it is not, what is wrong with the photo, what other views say. */

import { findFaults, tryOtherViews } from "./advice.js";
import { byId, make } from "./elements.js";
import { percent, percentNeeded, t } from "./language.js";
import { isSure, likeliest, nameOf } from "./words.js";

const FOUND = { closer: "tryCloser", brighter: "tryBrighter" };

export class AdviceView {
  #ask;
  #work = null;

  /** @param {import("./ask.js").Asker} ask */
  constructor(ask) {
    this.#ask = ask;
  }

  /** Advise on a row that has an answer; nothing is shown where that is sure. */
  async show(row, prepared) {
    this.clear();
    if (isSure(row.entry.label)) return;
    this.#work = new AbortController();
    const { signal } = this.#work;
    byId("advice").hidden = false;
    byId("advice-why").textContent = why(row.entry);
    byId("advice-list").replaceChildren();
    byId("advice-trying").hidden = !prepared.width;
    if (!prepared.width) return add("takeAnother");

    for (const fault of await findFaults(prepared.blob, prepared)) {
      if (signal.aborted) return;
      add(fault, prepared);
    }
    try {
      const { tried, found } = await tryOtherViews(prepared.blob, async (photos) => {
        const { entries } = await this.#ask.answer(photos, { signal });
        return entries;
      });
      if (signal.aborted) return;
      // What was tried and helped goes before what was measured and may have nothing to do with it.
      const help = found.map(({ change, entry }) =>
        item(FOUND[change], {
          answer: nameOf(entry.label),
          percent: percent(entry.probability),
        }),
      );
      byId("advice-list").prepend(...help);
      if (!found.length) add(tried.length > 1 ? "triedInVain" : "triedCloserInVain");
    } catch {
      if (signal.aborted) return; // otherwise the general advice is left
    }
    byId("advice-trying").hidden = true;
    add("takeAnother");
  }

  clear() {
    this.#work?.abort();
    byId("advice").hidden = true;
  }
}

function why(entry) {
  if (entry.label === "not a dish") return t("whyNotADish");
  return t("whyUnsure", {
    name: nameOf(likeliest(entry)),
    percent: percent(entry.probability),
    needed: percentNeeded(entry.needed),
  });
}

function add(key, values) {
  byId("advice-list").append(item(key, values));
}

function item(key, values) {
  return make("li", { textContent: t(key, values) });
}
