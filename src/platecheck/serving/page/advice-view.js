/** What would make the model sure: why it is not, what is wrong with the photo, what other views say. */

import { findFaults, tryOtherViews } from "./advice.js";
import { byId, make } from "./elements.js";
import { percent, percentNeeded, t } from "./language.js";
import { isSure, likeliest, nameOf } from "./words.js";

const FOUND = {
  closer: ["tryCloser", "mayCloser"],
  brighter: ["tryBrighter", "mayBrighter"],
};

export class AdviceView {
  #ask;
  #work = null;
  #why = () => "";
  #lines = new Map(); // of the list, and for each what gives its text

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
    this.#why = () => why(row.entry);
    byId("advice-why").textContent = this.#why();
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
    // A pattern can look blurred, and so does what is small; a view that helps is surer than that.
    let blurred = faults.includes("isBlurred") && !faults.includes("isSmall");
    try {
      const { tried, found } = await tryOtherViews(prepared.blob, async (photos) => {
        const { entries } = await this.#ask.answer(photos, { signal });
        return entries;
      });
      if (signal.aborted) return;
      // What was tried and helped goes before what was measured and may have nothing to do with it.
      for (const view of found.reverse()) this.#addFirst(() => help(row.entry, view));
      blurred &&= !found.length;
      const inVain = tried.length > 1 ? "triedInVain" : "triedCloserInVain";
      if (!found.length) this.#add(() => t(inVain));
    } catch {
      if (signal.aborted) return; // otherwise the general advice is left
    }
    byId("advice-trying").hidden = true;
    if (blurred) this.#add(() => t("isBlurred"));
    this.#add(() => t("takeAnother"));
  }

  clear() {
    this.#work?.abort();
    this.#lines.clear();
    byId("advice-list").replaceChildren();
    byId("advice").hidden = true;
  }

  translate() {
    byId("advice-why").textContent = this.#why();
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

function why(entry) {
  if (entry.label === "not a dish") return t("whyNotADish");
  return t("whyUnsure", {
    name: nameOf(likeliest(entry)),
    percent: percent(entry.probability),
    needed: percentNeeded(entry.needed),
  });
}

/** What another view is good for; a class that the photo itself does not lean to is not promised. */
function help(entry, { change, entry: { label, probability } }) {
  const [would, may] = FOUND[change];
  if (entry.label === "unsure" && label !== likeliest(entry)) return t(may);
  return t(would, { answer: nameOf(label), percent: percent(probability) });
}
