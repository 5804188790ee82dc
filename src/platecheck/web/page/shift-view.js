// @ts-check
/** The view of the record: totals of this shift and of earlier ones, and the answers of this one. */

import { announce } from "./announce.js";
import { recordsToCsv, saveFile } from "./csv.js";
import { byId, icon, make } from "./elements.js";
import { urgency } from "./inspection.js";
import { isConfident, kindOf, labelName } from "./labels.js";
import { day, onLanguageChange, percent, t, timeOfDay } from "./language.js";
import {
  DAYS,
  eraseRecords,
  isRecording,
  readRecords,
  recordEvents,
  setRecording,
  startShift,
} from "./records.js";
import { loadSetting, saveSetting } from "./settings.js";
import { countLabels, totalTiles } from "./totals.js";

const MAX_LINES = 200; // of the answers of this shift; the totals count all

export class ShiftView {
  #records = [];
  #urls = [];
  #due = false;

  constructor() {
    byId("station").value = loadSetting("station") ?? "";
    byId("station").addEventListener("input", ({ target }) =>
      saveSetting("station", target.value.trim() || null),
    );
    byId("record").addEventListener("change", ({ target }) => {
      setRecording(target.checked);
      this.#show();
    });
    byId("shift-start").addEventListener("click", () => {
      startShift();
      this.#show();
      announce(t("shiftStarted"));
    });
    byId("shift-csv").addEventListener("click", () =>
      saveFile("platecheck-shifts.csv", recordsToCsv(this.#records), "text/csv;charset=utf-8"),
    );
    byId("shift-erase").addEventListener("click", async () => {
      await eraseRecords();
      byId("station").focus();
      announce(t("shiftErased"));
    });
    recordEvents.addEventListener("change", () => this.refresh());
    onLanguageChange(() => this.#show());
  }

  /** Read the record if the view is visible. */
  refresh() {
    if (byId("shift-view").hidden || this.#due) return;
    this.#due = true; // many dishes may be recorded at once
    requestAnimationFrame(async () => {
      this.#due = false;
      this.#records = await readRecords();
      this.#show();
    });
  }

  #show() {
    const started = loadSetting("shift") ?? "";
    const latest = this.#records.at(-1)?.shift ?? "";
    const current = this.#records.filter(({ shift }) => shift === latest && shift >= started);
    byId("record").checked = isRecording();
    byId("record-days").textContent = t("recordDays", { count: DAYS });
    byId("shift-totals").replaceChildren(...totalTiles(countDishes(current)));
    const earlier = new Map(); // by shift and station
    for (const record of this.#records.slice(0, this.#records.length - current.length)) {
      const key = `${record.shift} ${record.station}`;
      earlier.set(key, [...(earlier.get(key) ?? []), record]);
    }
    byId("shifts").hidden = earlier.size === 0;
    byId("shift-rows").replaceChildren(...[...earlier.values()].reverse().map(shiftRow));
    const lines = [...current].reverse().sort((a, b) => urgency(label(a)) - urgency(label(b)));
    for (const url of this.#urls) URL.revokeObjectURL(url);
    this.#urls = [];
    byId("shift-lines").replaceChildren(
      ...lines.slice(0, MAX_LINES).map((record) => this.#line(record)),
    );
    byId("shift-empty").hidden = lines.length > 0;
    byId("shift-actions").hidden = this.#records.length === 0;
  }

  #line(record) {
    const kind = kindOf(label(record));
    let picture = make("span", { class: "no-thumbnail" }, icon("plate"));
    if (record.picture) {
      this.#urls.push(URL.createObjectURL(record.picture));
      picture = make("img", { src: this.#urls.at(-1), alt: "", width: 44, height: 44 });
    }
    const share = isConfident(record.label) ? percent(record.probability) : "";
    const corrected = record.right && record.right !== record.label;
    const note = corrected ? t("wasCorrected", { answer: labelName(record.label) }) : share;
    return make(
      "li",
      {},
      picture,
      make("span", { class: "badge", data: { kind } }, icon(kind), labelName(label(record))),
      make("span", { class: "line-sure", textContent: note }),
      make("time", { dateTime: record.time.toISOString(), textContent: timeOfDay(record.time) }),
    );
  }
}

/** The answer, or the correction if there is one. */
function label({ label, right }) {
  return right ?? label;
}

function countDishes(records) {
  return countLabels(records.map(label).filter((each) => each !== "not a dish"));
}

function shiftRow(records) {
  const { time, station } = records[0];
  const counts = countDishes(records);
  const cells = ["clean", "dirty", "unsure"].map((name) =>
    make("td", { class: "number", textContent: t("number", { count: counts.get(name) }) }),
  );
  const name = [day(time), [time, records.at(-1).time].map((each) => timeOfDay(each, "short")).join(" – "), station];
  const lines = name.filter(Boolean).map((textContent) => make("span", { textContent }));
  return make("tr", {}, make("th", { scope: "row" }, ...lines), ...cells);
}
