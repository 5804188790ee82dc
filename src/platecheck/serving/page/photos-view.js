/** The view for photos: given in any way, answered one by one or in a batch, listed below. */

import { AdviceView } from "./advice-view.js";
import { announce, notify } from "./announce.js";
import { AnswerView } from "./answer-view.js";
import { NobodyAnswers } from "./ask.js";
import { Batch } from "./batch.js";
import { answersAsCsv, saveFile } from "./csv.js";
import { confirm } from "./dialogs.js";
import { byId } from "./elements.js";
import { FeedbackView } from "./feedback-view.js";
import { onLanguage, t } from "./language.js";
import { listenForPhotos } from "./photo-input.js";
import { Shot } from "./shot.js";
import { playTone } from "./sound.js";
import { VisitView } from "./visit-view.js";
import { forget, letGo, newRow, prepareRow } from "./visit.js";
import { kindOf, nameOf, surenessOf, whyNot } from "./words.js";

export class PhotosView {
  #ask;
  #answer = new AnswerView();
  #advice;
  #feedback;
  #visit = new VisitView((row) => this.#open(row));
  #batch;
  #counted = new Set(); // the rows that the progress bar counts
  #left = false; // whether rows have no answer since nobody could give one
  #opened = null; // the row whose photo is shown
  #work = new AbortController(); // of asking about it

  /**
   * @param {import("./ask.js").Asker} ask
   * @param {() => void} onPhotos called when photos come, from wherever in the page
   */
  constructor(ask, onPhotos) {
    this.#ask = ask;
    this.#advice = new AdviceView(ask);
    this.#feedback = new FeedbackView(ask);
    this.#batch = new Batch(ask, prepareRow);
    const take = (files, others = []) => {
      onPhotos();
      this.#take(files, others);
    };
    this.#listenForFiles(take);
    this.#listenToBatch();
    byId("export-csv").addEventListener("click", () => this.#export());
    byId("clear").addEventListener("click", () => this.#clear());
    ask.addEventListener("change", () => this.#tryAgain());
    addEventListener("beforeunload", (event) => this.#batch.isRunning && event.preventDefault());
    onLanguage(() => this.#translate());
  }

  /** Whether nothing would be lost if the page were loaded again. */
  get isEmpty() {
    return this.#visit.rows.length === 0;
  }

  #listenForFiles(take) {
    const shot = new Shot((file) => take([file]));
    byId("take-photo").addEventListener("click", () => shot.open());
    byId("choose-photos").addEventListener("click", () => byId("files").click());
    for (const input of [byId("files"), byId("phone-camera")]) {
      input.addEventListener("change", () => {
        const files = [...input.files];
        input.value = ""; // so that the same photo can be chosen again
        if (files.length) take(files);
      });
    }
    listenForPhotos(take, (over) => (byId("drop-here").hidden = !over));
  }

  #listenToBatch() {
    this.#batch.addEventListener("row", ({ detail }) => {
      this.#visit.changed(detail);
      if (hasEnded(detail)) letGo(detail);
      this.#showProgress();
    });
    this.#batch.addEventListener("trouble", ({ detail }) => {
      this.#left = true;
      notify("photos", () => whyNot(detail));
    });
    this.#batch.addEventListener("end", () => {
      this.#showProgress();
      announce(byId("progress-text").textContent);
    });
    byId("stop").addEventListener("click", () => this.#batch.stop());
    byId("go-on").addEventListener("click", () => this.#askBatch(this.#stopped));
  }

  get #stopped() {
    return this.#visit.rows.filter(({ state }) => state === "stopped");
  }

  #take(files, others) {
    const names = others.length > 3 ? [...others.slice(0, 3), "…"] : others;
    const leftOut = () => t("leftOut", { count: others.length, names: names.join(", ") });
    notify("photos", others.length ? leftOut : files.length ? null : () => t("noPhotos"));
    if (!files.length) return;
    const rows = files.map(newRow);
    this.#visit.add(rows);
    byId("give").classList.add("compact");
    byId("visit").hidden = this.#visit.rows.length < 2; // a single one is shown above
    if (rows.length === 1) {
      this.#open(rows[0]);
    } else {
      this.#leave();
      this.#closeAnswer();
      this.#askBatch(rows);
    }
  }

  /** Ask about these rows among others, and count them. */
  #askBatch(rows) {
    if ([...this.#counted].every(hasEnded)) this.#counted.clear(); // another count begins
    for (const row of rows) this.#counted.add(row);
    for (const row of rows) row.state = "waiting";
    for (const row of rows) this.#visit.changed(row);
    this.#batch.add(rows);
    byId("progress").hidden = false;
    this.#showProgress();
  }

  #showProgress() {
    const counted = [...this.#counted];
    const count = counted.length;
    const done = counted.filter(hasEnded).length;
    const failed = counted.filter(({ state }) => state === "failed").length;
    const stopped = this.#stopped.length;
    const running = this.#batch.isRunning && !counted.every(isAtRest);
    byId("progress-bar").max = count || 1;
    byId("progress-bar").value = done;
    const buttons = { stop: running, "go-on": !running && stopped > 0, "export-csv": true };
    const inUse = document.activeElement?.id;
    for (const [id, shown] of Object.entries(buttons)) byId(id).hidden = !shown;
    if (buttons[inUse] === false) {
      byId(Object.keys(buttons).find((id) => buttons[id])).focus(); // the one in use is gone
    }
    byId("progress-text").textContent = running
      ? t("progress", { done, count })
      : stopped
        ? t("progressStopped", { count: stopped })
        : [
            t("progressDone", { count: done - failed }),
            ...(failed ? [t("progressFailed", { count: failed })] : []),
          ].join(", ");
  }

  /** What was left since nobody could answer is asked about once somebody can. */
  #tryAgain() {
    if (!this.#left || !["service", "device", "alone"].includes(this.#ask.where)) return;
    this.#left = false;
    notify("photos", null);
    const shown = this.#opened;
    const others = this.#stopped.filter((row) => row !== shown);
    if (shown?.state === "stopped") this.#open(shown);
    if (others.length) this.#askBatch(others);
  }

  /** Show a row's photo, and ask about it unless its answer and map are there already. */
  async #open(row) {
    if (this.#opened !== row) this.#leave();
    this.#work.abort();
    this.#work = new AbortController();
    const { signal } = this.#work;
    this.#opened = row;
    this.#visit.open(row);
    this.#advice.clear();
    this.#feedback.clear();
    this.#answer.wait(row);
    const prepared = await prepareRow(row);
    if (signal.aborted) return;
    this.#answer.showPhoto(row, prepared);
    byId("verdict").scrollIntoView({ block: "nearest" });
    if (!row.entry?.label || (this.#ask.model?.gives_evidence && !row.entry.evidence)) {
      await this.#askOne(row, prepared, signal);
      if (signal.aborted) return;
    }
    this.#showAnswer(row, prepared);
  }

  /** Show another photo: one that has no answer yet is asked about among others. */
  #leave() {
    this.#work.abort();
    const row = this.#opened;
    this.#opened = null;
    if (!row) return;
    if (isAtRest(row)) letGo(row);
    else this.#askBatch([row]);
  }

  async #askOne(row, { blob }, signal) {
    if (row.state !== "done") this.#setState(row, "asking");
    try {
      const { entries, where } = await this.#ask.answer([{ name: row.name, blob }], {
        evidence: true,
        signal,
      });
      Object.assign(row, { entry: entries[0], where, time: new Date() });
      this.#setState(row, row.entry.error ? "failed" : "done");
    } catch (error) {
      if (signal.aborted || row.entry?.label) return; // seen to elsewhere; answered, without a map
      Object.assign(row, { entry: { error }, where: "", time: new Date() });
      this.#left ||= error instanceof NobodyAnswers;
      this.#setState(row, error instanceof NobodyAnswers ? "stopped" : "failed");
    }
  }

  #setState(row, state) {
    row.state = state;
    this.#visit.changed(row);
  }

  #showAnswer(row, prepared) {
    const { entry, name } = row;
    if (entry.error) {
      this.#answer.fail(entry.error);
      announce(t("answerIs", { name, answer: `${t("failed")}, ${whyNot(entry.error)}` }));
      return;
    }
    this.#answer.show(row, this.#ask.model);
    this.#advice.show(row, prepared);
    this.#feedback.show(row, prepared);
    playTone(kindOf(entry.label));
    const said = [nameOf(entry.label), surenessOf(entry)].filter(Boolean).join(", ");
    announce(t("answerIs", { name, answer: said }));
  }

  #closeAnswer() {
    this.#work.abort();
    if (this.#opened) letGo(this.#opened);
    this.#opened = null;
    this.#visit.open(null);
    this.#answer.clear();
    this.#advice.clear();
    this.#feedback.clear();
  }

  #export() {
    const rows = this.#visit.rows.filter(hasEnded);
    const text = answersAsCsv(rows, this.#ask.model?.classes ?? []);
    saveFile("platecheck.csv", text, "text/csv;charset=utf-8");
  }

  async #clear() {
    const count = this.#visit.rows.length;
    if (!(await confirm(t("clearTitle"), t("clearText", { count }), t("clear")))) return;
    this.#batch.stop();
    this.#closeAnswer();
    this.#visit.rows.forEach(forget);
    this.#visit.clear();
    this.#counted.clear();
    this.#left = false;
    byId("visit").hidden = true;
    byId("progress").hidden = true;
    byId("give").classList.remove("compact");
    byId("choose-photos").focus();
    announce(t("cleared"));
  }

  #translate() {
    this.#showProgress();
    const { entry } = this.#opened ?? {};
    if (this.#opened && !isAtRest(this.#opened)) return;
    if (entry?.error) this.#answer.fail(entry.error);
    else if (entry) this.#answer.show(this.#opened, this.#ask.model);
    this.#advice.translate();
    this.#feedback.translate();
  }
}

/** Whether there is nothing more to do about a row. */
function hasEnded({ state }) {
  return state === "done" || state === "failed";
}

/** Whether nothing is being done about a row. */
function isAtRest({ state }) {
  return state !== "waiting" && state !== "asking";
}
