// @ts-check
/** The view of the record: totals of this shift and of earlier ones, and the answers of this one. */

import { announce } from "./announce.js";
import { recordsToCsv, saveFile } from "./csv.js";
import { byId, make } from "./elements.js";
import { urgency } from "./inspection.js";
import { isConfident, labelName } from "./labels.js";
import { day, onLanguageChange, percent, t, timeOfDay } from "./language.js";
import { DAYS, eraseRecords, isRecording, readRecords, recordEvents } from "./records.js";
import { loadSetting, saveSetting } from "./settings.js";
import { countLabels, dishLine, totalTiles } from "./totals.js";

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
    byId("record").checked = isRecording();
    byId("record").addEventListener("change", ({ target }) => {
      saveSetting("record", target.checked ? null : "off");
      this.#show();
    });
    byId("shift-start").addEventListener("click", () => {
      saveSetting("shift", new Date().toISOString());
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
    byId("record-days").textContent = t("recordDays", { count: DAYS });
    byId("shift-totals").replaceChildren(...totalTiles(countDishes(current)));
    const earlier = new Map(); // by shift and station
    for (const record of this.#records.slice(0, this.#records.length - current.length)) {
      const key = `${record.shift} ${record.station}`;
      if (!earlier.get(key)?.push(record)) earlier.set(key, [record]);
    }
    byId("shifts").hidden = earlier.size === 0;
    byId("shift-rows").replaceChildren(...[...earlier.values()].reverse().map(shiftRow));
    const lines = [...current].reverse().sort((a, b) => urgency(label(a)) - urgency(label(b)));
    for (const url of this.#urls) URL.revokeObjectURL(url);
    this.#urls = [];
    const shown = lines.slice(0, MAX_LINES).map((record) => this.#line(record));
    byId("shift-lines").replaceChildren(...shown);
    byId("shift-empty").hidden = lines.length > 0;
    byId("shift-actions").hidden = this.#records.length === 0;
  }

  #line(record) {
    const url = record.picture ? URL.createObjectURL(record.picture) : "";
    if (url) this.#urls.push(url);
    const share = isConfident(record.label) ? percent(record.probability) : "";
    const corrected = record.right && record.right !== record.label;
    const note = corrected ? t("wasCorrected", { answer: labelName(record.label) }) : share;
    return dishLine({ label: label(record), url, time: record.time }, note);
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
  const span = [time, records.at(-1).time].map((each) => timeOfDay(each, "short")).join(" – ");
  const lines = [day(time), span, station].map((textContent) => make("span", { textContent }));
  return make("tr", {}, make("th", { scope: "row" }, ...lines), ...cells);
}
