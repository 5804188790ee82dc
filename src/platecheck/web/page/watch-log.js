// @ts-check
/** The dishes that a camera has seen: totals, a list with pictures, and their record. */

import { announce } from "./announce.js";
import { inspectionsToCsv, saveFile } from "./csv.js";
import { byId, icon, make } from "./elements.js";
import { confidenceText, describe, kindOf, labelName } from "./labels.js";
import { t } from "./language.js";
import { addRecords, updateRecord } from "./records.js";
import { countLabels, dishLine, totalTiles } from "./totals.js";

// Limits the memory of a page that runs for weeks.
const MAX_ENTRIES = 1000;
const MAX_STRIP = 12; // pictures in full screen

/** @typedef {{number: number, track: any, dish: any, source: string, time: Date, changed: boolean, url: string,
 *   record: Promise<number[]>}} Entry */

export class WatchLog {
  #client;
  /** @type {Entry[]} newest first */
  #entries = [];
  #count = 0;
  #totals = countLabels([]);

  /** @param {import("./inference-client.js").InferenceClient} client */
  constructor(client) {
    this.#client = client;
    byId("log-csv").addEventListener("click", () => this.#export());
    byId("log-clear").addEventListener("click", () => {
      for (const { url } of this.#entries) URL.revokeObjectURL(url);
      this.#entries = [];
      this.#count = 0;
      this.#totals = countLabels([]);
      this.show();
      byId("watch-toggle").focus();
      announce(t("cleared"));
    });
    this.show();
  }

  get isEmpty() {
    return this.#entries.length === 0;
  }

  /** Count and announce a new dish, or the new label of one; see "detection" in watch.js. */
  add({ event, track, source, picture, time }) {
    const dish = { ...track.dish, heatmap: undefined, label: track.label };
    const known = this.#entries.find((entry) => entry.track === track);
    const url = URL.createObjectURL(picture);
    const { label, probability } = dish;
    const kept = label === "clean" ? null : picture;
    this.#totals.set(label, (this.#totals.get(label) ?? 0) + 1);
    if (known) {
      this.#totals.set(known.dish.label, this.#totals.get(known.dish.label) - 1);
      URL.revokeObjectURL(known.url);
      Object.assign(known, { dish, url, changed: true });
      known.record.then(([id]) => id && updateRecord(id, { label, probability, picture: kept }));
    } else {
      const record = addRecords([{ name: "", source, label, probability, picture: kept }], time);
      this.#count += 1;
      const entry = { number: this.#count, track, dish, source, time, changed: false, url, record };
      this.#entries.unshift(entry);
      for (const entry of this.#entries.splice(MAX_ENTRIES)) URL.revokeObjectURL(entry.url);
    }
    this.show();
    const text = event === "new dish" ? "newDishIs" : "answerChangedTo";
    announce(t(text, { answer: describe(dish) }));
  }

  show() {
    const empty = this.isEmpty;
    byId("log-empty").hidden = !empty;
    byId("log-actions").hidden = empty;
    byId("log-lines").replaceChildren(...this.#entries.map(line));
    byId("watch-totals").replaceChildren(...totalTiles(this.#totals));
    byId("watch-strip").replaceChildren(...this.#entries.slice(0, MAX_STRIP).map(picture));
  }

  #export() {
    const rows = this.#entries
      .map(({ number, dish, source, time }) => ({
        name: String(number),
        inspection: { verdict: dish.label, dishes: [dish] },
        ...{ source, time },
      }))
      .reverse();
    const text = inspectionsToCsv(rows, this.#client.model?.classes ?? []);
    saveFile("platecheck-watch.csv", text, "text/csv;charset=utf-8");
  }
}

function line({ number, dish, time, changed, url }) {
  const note = changed ? t("answerChanged") : t("dishNo", { number });
  return dishLine({ label: dish.label, url, time }, confidenceText(dish), note);
}

function picture({ dish, url }) {
  const kind = kindOf(dish.label);
  const name = labelName(dish.label);
  return make("li", { data: { kind } }, make("img", { src: url, alt: name }), icon(kind));
}
