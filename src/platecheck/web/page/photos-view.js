// @ts-check
/** The photos view: classify one photo or a batch, list the results. */

import { AdviceView } from "./advice-view.js";
import { announce, notify } from "./announce.js";
import { Batch } from "./batch.js";
import { CaptureDialog } from "./capture-dialog.js";
import { predictionsToCsv, saveFile } from "./csv.js";
import { confirm } from "./dialogs.js";
import { byId } from "./elements.js";
import { errorMessage } from "./error-messages.js";
import { FeedbackView } from "./feedback-view.js";
import { UnavailableError } from "./inference-client.js";
import { describe, kindOf } from "./labels.js";
import { onLanguageChange, t } from "./language.js";
import { listenForPhotos } from "./photo-input.js";
import { PredictionView } from "./prediction-view.js";
import { dispose, newRow, prepareRow, release } from "./session.js";
import { SessionView } from "./session-view.js";
import { playSound } from "./sound.js";

export class PhotosView {
  #client;
  #prediction = new PredictionView();
  #advice;
  #feedback;
  #session = new SessionView((row) => this.#open(row));
  #batch;
  #counted = new Set(); // rows counted by the progress bar
  #interrupted = false; // whether rows are left because no model was available
  #opened = null; // row whose photo is shown
  #controller = new AbortController(); // for classifying it

  /** @param {import("./inference-client.js").InferenceClient} client */
  constructor(client) {
    this.#client = client;
    this.#advice = new AdviceView(client);
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
    byId("resume").addEventListener("click", () => this.#classifyBatch(this.#stopped));
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
      this.#classifyBatch(rows);
    }
  }

  /** Add rows to the batch and to the progress bar. */
  #classifyBatch(rows) {
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
    if (others.length) this.#classifyBatch(others);
  }

  /** Show a row's photo; classify it unless its prediction and heatmap are there already. */
  async #open(row) {
    if (this.#opened !== row) this.#leave();
    this.#controller.abort();
    this.#controller = new AbortController();
    const { signal } = this.#controller;
    this.#opened = row;
    this.#session.open(row);
    this.#advice.clear();
    this.#feedback.clear();
    this.#prediction.showPending(row);
    const prepared = await prepareRow(row);
    if (signal.aborted) return;
    this.#prediction.showPhoto(row, prepared);
    byId("verdict").scrollIntoView({ block: "nearest" });
    if (
      !row.prediction?.label ||
      (this.#client.model?.gives_evidence && !row.prediction.evidence)
    ) {
      await this.#classify(row, prepared, signal);
      if (signal.aborted) return;
    }
    this.#showPrediction(row, prepared);
  }

  /** Leave the photo shown; if it has no prediction yet, move it to the batch. */
  #leave() {
    this.#controller.abort();
    const row = this.#opened;
    this.#opened = null;
    if (!row) return;
    if (isIdle(row)) release(row);
    else this.#classifyBatch([row]);
  }

  async #classify(row, { blob }, signal) {
    if (row.state !== "done") this.#setState(row, "running");
    try {
      const { predictions, source } = await this.#client.predict([{ name: row.name, blob }], {
        evidence: true,
        signal,
      });
      Object.assign(row, { prediction: predictions[0], source, time: new Date() });
      this.#setState(row, row.prediction.error ? "failed" : "done");
    } catch (error) {
      if (signal.aborted || row.prediction?.label) return; // handled elsewhere, or labeled
      Object.assign(row, { prediction: { error }, source: "", time: new Date() });
      this.#interrupted ||= error instanceof UnavailableError;
      this.#setState(row, error instanceof UnavailableError ? "stopped" : "failed");
    }
  }

  #setState(row, state) {
    row.state = state;
    this.#session.update(row);
  }

  #showPrediction(row, prepared) {
    const { prediction, name } = row;
    if (prediction.error) {
      this.#prediction.showError(prediction.error);
      announce(
        t("answerIs", { name, answer: `${t("failed")}, ${errorMessage(prediction.error)}` }),
      );
      return;
    }
    this.#prediction.show(row, this.#client.model);
    this.#advice.show(row, prepared);
    this.#feedback.show(row, prepared);
    playSound(kindOf(prediction.label));
    announce(t("answerIs", { name, answer: describe(prediction) }));
  }

  #closePhoto() {
    this.#controller.abort();
    if (this.#opened) release(this.#opened);
    this.#opened = null;
    this.#session.open(null);
    this.#prediction.clear();
    this.#advice.clear();
    this.#feedback.clear();
  }

  #export() {
    const rows = this.#session.rows.filter(hasEnded);
    const text = predictionsToCsv(rows, this.#client.model?.classes ?? []);
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
    const { prediction } = this.#opened ?? {};
    if (this.#opened && !isIdle(this.#opened)) return;
    if (prediction?.error) this.#prediction.showError(prediction.error);
    else if (prediction) this.#prediction.show(this.#opened, this.#client.model);
    this.#advice.translate();
    this.#feedback.translate();
  }
}

/** Whether a row is classified or has failed. */
function hasEnded({ state }) {
  return state === "done" || state === "failed";
}

/** Whether a row is neither queued nor running. */
function isIdle({ state }) {
  return state !== "waiting" && state !== "running";
}
