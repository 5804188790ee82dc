// @ts-check
/** Send and delete feedback on a prediction, with the user's consent. */

import { announce } from "./announce.js";
import { byId, make } from "./elements.js";
import { errorMessage } from "./error-messages.js";
import { isConfident, labelName } from "./labels.js";
import { day, t } from "./language.js";
import { UnreachableError } from "./service.js";

const NOT_A_DISH = "not a dish";

export class FeedbackView {
  #client;
  #row = null;
  #blob = null;

  /** @param {import("./inference-client.js").InferenceClient} client */
  constructor(client) {
    this.#client = client;
    byId("feedback-form").addEventListener("submit", (event) => {
      event.preventDefault(); // the CSP forbids form submission
      this.#send();
    });
    byId("feedback-delete").addEventListener("click", () => this.#delete());
    client.addEventListener("change", () => this.#showAvailability());
  }

  /** Show the form for a classified row, or the receipt of feedback sent before. */
  show(row, { blob }) {
    this.#row = row;
    this.#blob = blob;
    byId("feedback").open = false;
    byId("feedback-form").reset();
    const names = [...this.#client.model.classes, NOT_A_DISH];
    byId("feedback-choices").replaceChildren(...names.map(choice));
    this.#showMessage("");
    this.#showTexts();
  }

  /** Update the language without resetting the form. */
  translate() {
    if (!this.#row) return;
    for (const input of byId("feedback-choices").querySelectorAll("input")) {
      input.nextElementSibling.textContent = labelName(input.value);
    }
    this.#showTexts();
  }

  #showTexts() {
    const confident = isConfident(this.#row.prediction.label);
    byId("feedback-title").textContent = t(confident ? "feedbackIsRight" : "feedbackDoYouKnow");
    this.#showReceipt();
    this.#showAvailability();
  }

  clear() {
    this.#row = null;
    this.#blob = null;
    byId("feedback").hidden = true;
  }

  #showAvailability() {
    const days = this.#client.feedbackDays;
    byId("feedback").hidden = !this.#row || days === null;
    if (days !== null) byId("feedback-terms").textContent = t("feedbackTerms", { count: days });
  }

  #showReceipt() {
    const { feedback } = this.#row;
    byId("feedback-form").hidden = Boolean(feedback);
    byId("feedback-receipt").hidden = !feedback;
    if (!feedback) return;
    const { id, right, expires } = feedback;
    byId("feedback").open = true;
    byId("feedback-thanks").textContent = t("feedbackKept", {
      answer: labelName(right),
      date: day(new Date(expires)),
    });
    byId("feedback-id").textContent = id;
  }

  #showMessage(text) {
    byId("feedback-message").textContent = text;
  }

  async #send() {
    const [row, form] = [this.#row, byId("feedback-form")];
    const trueLabel = new FormData(form).get("right");
    const { label, probabilities } = row.prediction;
    const localPrediction = { model: this.#client.model.id, label, probabilities };
    await this.#run(row, "feedbackNotKept", async () => {
      row.feedback = await this.#client.sendFeedback({
        photo: { name: row.name, blob: this.#blob },
        trueLabel,
        prediction: row.source === "device" ? localPrediction : null,
      });
      return "feedbackThanks";
    });
    // Move the focus: the button that had it is hidden now.
    if (this.#row === row && row.feedback) byId("feedback-delete").focus();
  }

  async #delete() {
    const row = this.#row;
    await this.#run(row, "feedbackNotDeleted", async () => {
      await this.#client.deleteFeedback(row.feedback.id);
      row.feedback = null;
      return "feedbackDeleted";
    });
    if (this.#row === row && !row.feedback) byId("feedback-title").focus();
  }

  /** Run an action and show its outcome; announce it if another photo is shown by then. */
  async #run(row, failed, action) {
    const buttons = [byId("feedback-send"), byId("feedback-delete")];
    for (const button of buttons) button.disabled = true;
    this.#showMessage(t("feedbackWait"));
    let message;
    try {
      message = t(await action());
    } catch (error) {
      message = failureMessage(failed, error);
    }
    for (const button of buttons) button.disabled = false;
    if (this.#row !== row) return announce(`${row.name}: ${message}`);
    this.#showMessage(message);
    this.#showReceipt();
  }
}

/** Create a radio button for a label. */
function choice(name) {
  const input = make("input", { type: "radio", name: "right", value: name, required: true });
  return make("label", { class: "check" }, input, make("span", { textContent: labelName(name) }));
}

function failureMessage(failed, error) {
  if (error instanceof UnreachableError) return t("feedbackUnknown");
  // 503: the service is busy, or its disk or database is unavailable
  return t(failed, { why: error.status === 503 ? t("feedbackUnavailable") : errorMessage(error) });
}
