// @ts-check
/** The photos view: inspect one photo or a batch, list the results. */

import { showAdvice } from "./advice-view.js";
import { announce, notify } from "./announce.js";
import { Batch } from "./batch.js";
import { CaptureDialog } from "./capture-dialog.js";
import { inspectionsToCsv, saveFile } from "./csv.js";
import { confirm } from "./dialogs.js";
import { byId } from "./elements.js";
import { errorMessage } from "./error-messages.js";
import { FeedbackView } from "./feedback-view.js";
import { UnavailableError } from "./inference-client.js";
import { describeInspection } from "./inspection.js";
import { InspectionView } from "./inspection-view.js";
import { kindOf, showsHeatmap } from "./labels.js";
import { onLanguageChange, t } from "./language.js";
import { listenForPhotos } from "./photo-input.js";
import { cutOut, LARGEST_SIDE } from "./prepare.js";
import { addRecords } from "./records.js";
import { dispose, newRow, prepareRow, release } from "./session.js";
import { SessionView } from "./session-view.js";
import { playSound } from "./sound.js";

export class PhotosView {
  #client;
  #inspection = new InspectionView((index) => this.#showDish(index));
  #feedback;
  #session = new SessionView((row) => this.#open(row));
  #batch;
  #counted = new Set(); // rows counted by the progress bar
  #interrupted = false; // whether rows are left because no model was available
  #opened = null; // row whose photo is shown
  #prepared = null; // its photo
  #controller = new AbortController(); // for inspecting it

  /** @param {import("./inference-client.js").InferenceClient} client */
  constructor(client) {
    this.#client = client;
    this.#feedback = new FeedbackView(client);
    this.#batch = new Batch(client);
    this.#listenForFiles();
    this.#listenToBatch();
    byId("export-csv").addEventListener("click", () => this.#export());
    byId("clear").addEventListener("click", () => this.#clear());
    client.addEventListener("change", () => this.#resumeInterrupted());
    addEventListener("beforeunload", (event) => this.#batch.isRunning && event.preventDefault());
    onLanguageChange(() => this.#translate());
  }

  /** Whether reloading the page loses nothing. */
  get isEmpty() {
    return this.#session.rows.length === 0;
  }

  #listenForFiles() {
    const add = (files, skipped = []) => {
      location.hash = "#photos"; // photos can be added in any view
      this.#add(files, skipped);
    };
    const dialog = new CaptureDialog((file) => add([file]));
    byId("take-photo").addEventListener("click", () => dialog.open());
    byId("choose-photos").addEventListener("click", () => byId("files").click());
    for (const input of [byId("files"), byId("phone-camera")]) {
      input.addEventListener("change", () => {
        const files = [...input.files];
        input.value = ""; // allows choosing the same photo again
        if (files.length) add(files);
      });
    }
    listenForPhotos(add, (over) => (byId("drop-here").hidden = !over));
  }

  #listenToBatch() {
    this.#batch.addEventListener("row", (/** @type {CustomEvent} */ { detail }) => {
      this.#session.update(detail);
      if (hasEnded(detail)) this.#record(detail);
      if (hasEnded(detail)) release(detail);
      this.#showProgress();
    });
    this.#batch.addEventListener("error", (/** @type {CustomEvent} */ { detail }) => {
      this.#interrupted = true;
      notify("photos", () => errorMessage(detail));
    });
    this.#batch.addEventListener("end", () => {
      this.#showProgress();
      announce(byId("progress-text").textContent);
    });
    byId("stop").addEventListener("click", () => this.#batch.stop());
    byId("resume").addEventListener("click", () => this.#inspectBatch(this.#stopped));
  }

  get #stopped() {
    return this.#session.rows.filter(({ state }) => state === "stopped");
  }

  #add(files, skipped) {
    const names = skipped.length > 3 ? [...skipped.slice(0, 3), "…"] : skipped;
    const leftOut = () => t("leftOut", { count: skipped.length, names: names.join(", ") });
    notify("photos", skipped.length ? leftOut : files.length ? null : () => t("noPhotos"));
    if (!files.length) return;
    const rows = files.map(newRow);
    this.#session.add(rows);
    byId("upload").classList.add("compact");
    byId("session").hidden = this.#session.rows.length < 2; // a single photo is shown above
    if (rows.length === 1) {
      this.#open(rows[0]);
    } else {
      this.#leave();
      this.#closePhoto();
      this.#inspectBatch(rows);
    }
  }

  /** Add rows to the batch and to the progress bar. */
  #inspectBatch(rows) {
    if ([...this.#counted].every(hasEnded)) this.#counted.clear(); // start counting anew
    for (const row of rows) this.#counted.add(row);
    for (const row of rows) row.state = "waiting";
    for (const row of rows) this.#session.update(row);
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
    const running = this.#batch.isRunning && !counted.every(isIdle);
    byId("progress-bar").max = count || 1;
    byId("progress-bar").value = done;
    const buttons = { stop: running, resume: !running && stopped > 0, "export-csv": true };
    const focused = document.activeElement?.id;
    for (const [id, shown] of Object.entries(buttons)) byId(id).hidden = !shown;
    if (buttons[focused] === false) {
      byId(Object.keys(buttons).find((id) => buttons[id])).focus(); // it is hidden now
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

  /** Resume rows that were interrupted once a model is available. */
  #resumeInterrupted() {
    if (!this.#interrupted || !["service", "device", "offline"].includes(this.#client.status))
      return;
    this.#interrupted = false;
    notify("photos", null);
    const shown = this.#opened;
    const others = this.#stopped.filter((row) => row !== shown);
    if (shown?.state === "stopped") this.#open(shown);
    if (others.length) this.#inspectBatch(others);
  }

  /** Show a row's photo; inspect it unless its inspection and heatmaps are there already. */
  async #open(row) {
    if (this.#opened !== row) this.#leave();
    this.#controller.abort();
    this.#controller = new AbortController();
    const { signal } = this.#controller;
    this.#opened = row;
    this.#session.open(row);
    byId("advice").hidden = true;
    this.#feedback.clear();
    this.#inspection.showPending(row);
    const prepared = await prepareRow(row);
    if (signal.aborted) return;
    this.#prepared = prepared;
    this.#inspection.showPhoto(row, prepared);
    byId("verdict").scrollIntoView({ block: "nearest" });
    if (!row.inspection?.verdict || lacksHeatmap(row.inspection, this.#client.model)) {
      await this.#inspect(row, prepared, signal);
      if (signal.aborted) return;
    }
    this.#showInspection(row);
  }

  /** Leave the photo shown; if it has no prediction yet, move it to the batch. */
  #leave() {
    this.#controller.abort();
    const row = this.#opened;
    this.#opened = null;
    if (!row) return;
    if (isIdle(row)) release(row);
    else this.#inspectBatch([row]);
  }

  async #inspect(row, { blob }, signal) {
    if (row.state !== "done") this.#setState(row, "running");
    try {
      const { inspections, source } = await this.#client.inspect([{ name: row.name, blob }], {
        heatmap: true,
        signal,
      });
      if (signal.aborted) return; // handled elsewhere
      const [inspection] = inspections;
      inspection.dishes.forEach((dish, index) => {
        const { record, receipt } = row.inspection?.dishes?.[index] ?? {}; // asked again for heatmaps
        Object.assign(dish, { record, receipt });
      });
      Object.assign(row, { inspection, source, time: new Date() });
      this.#setState(row, row.inspection.error ? "failed" : "done");
      this.#record(row);
    } catch (error) {
      if (signal.aborted || row.inspection?.verdict) return; // handled elsewhere, or answered
      Object.assign(row, { inspection: { error }, source: "", time: new Date() });
      this.#interrupted ||= error instanceof UnavailableError;
      this.#setState(row, error instanceof UnavailableError ? "stopped" : "failed");
    }
  }

  #setState(row, state) {
    row.state = state;
    this.#session.update(row);
  }

  /** Add a row's dishes to the shift's record, once. */
  async #record(row) {
    if (row.recorded || row.state !== "done") return;
    row.recorded = true;
    const { name, source, inspection } = row;
    const prepared = await prepareRow(row);
    const pictured = inspection.dishes.filter(({ label }) => prepared.width && label !== "clean");
    const pictures = await cutOut(prepared.blob, pictured);
    const dishes = inspection.dishes.map((dish) => {
      const { label, probability } = dish;
      return { name, source, label, probability, picture: pictures[pictured.indexOf(dish)] };
    });
    const ids = await addRecords(dishes, row.time);
    inspection.dishes.forEach((dish, index) => (dish.record = ids[index]));
  }

  #showInspection(row) {
    const { inspection, name } = row;
    if (inspection.error) {
      this.#inspection.showError(inspection.error);
      const answer = `${t("failed")}, ${errorMessage(inspection.error)}`;
      announce(t("answerIs", { name, answer }));
      return;
    }
    this.#inspection.show(row, this.#client.model);
    playSound(kindOf(inspection.verdict));
    announce(t("answerIs", { name, answer: describeInspection(inspection) }));
  }

  /** Show advice on a dish of the photo shown, and ask whether its label is right; null: none. */
  #showDish(index) {
    const { inspection, name, source } = this.#opened;
    const { dishes } = inspection;
    showAdvice(inspection, index, this.#client.model.thresholds);
    const prepared = this.#prepared;
    const isAlone = dishes.length < 2;
    if (index === null && dishes.length) return this.#feedback.clear();
    if (!isAlone && !prepared.width) return this.#feedback.clear(); // no photo of the dish alone
    this.#feedback.show({
      ...{ name, source, answer: dishes[index] ?? inspection },
      photo: async () =>
        isAlone ? prepared.blob : (await cutOut(prepared.blob, [dishes[index]], LARGEST_SIDE))[0],
    });
  }

  #closePhoto() {
    this.#controller.abort();
    if (this.#opened) release(this.#opened);
    this.#opened = null;
    this.#prepared = null;
    this.#session.open(null);
    this.#inspection.clear();
    byId("advice").hidden = true;
    this.#feedback.clear();
  }

  #export() {
    const rows = this.#session.rows.filter(hasEnded);
    const text = inspectionsToCsv(rows, this.#client.model?.classes ?? []);
    saveFile("platecheck.csv", text, "text/csv;charset=utf-8");
  }

  async #clear() {
    const count = this.#session.rows.length;
    if (!(await confirm(t("clearTitle"), t("clearText", { count }), t("clear")))) return;
    this.#batch.stop();
    this.#closePhoto();
    this.#session.rows.forEach(dispose);
    this.#session.clear();
    this.#counted.clear();
    this.#interrupted = false;
    byId("session").hidden = true;
    byId("progress").hidden = true;
    byId("upload").classList.remove("compact");
    byId("choose-photos").focus();
    announce(t("cleared"));
  }

  #translate() {
    this.#showProgress();
    const { inspection } = this.#opened ?? {};
    if (!inspection || !isIdle(this.#opened)) return;
    if (inspection.error) this.#inspection.showError(inspection.error);
    else this.#inspection.show(this.#opened, this.#client.model, this.#inspection.selected ?? -1);
  }
}

/** Whether a model that draws heatmaps was not asked for them, as in a batch. */
function lacksHeatmap({ dishes }, model) {
  const lacks = ({ label, heatmap }) => showsHeatmap(label) && !heatmap;
  return model?.gives_evidence && dishes.some(lacks);
}

/** Whether a row is inspected or has failed. */
function hasEnded({ state }) {
  return state === "done" || state === "failed";
}

/** Whether a row is neither queued nor running. */
function isIdle({ state }) {
  return state !== "waiting" && state !== "running";
}
