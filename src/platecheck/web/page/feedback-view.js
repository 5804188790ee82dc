// @ts-check
/** Correct or confirm an answer with one tap, once the user has consented, and take it back. */

import { announce } from "./announce.js";
import { confirm } from "./dialogs.js";
import { byId, icon, make } from "./elements.js";
import { errorMessage } from "./error-messages.js";
import { NO_DISH } from "./inspection.js";
import { isConfident, kindOf, labelName } from "./labels.js";
import { day, t } from "./language.js";
import { updateRecord } from "./records.js";
import { UnreachableError } from "./service.js";
import { loadSetting, saveSetting } from "./settings.js";

const NOT_A_DISH = "not a dish"; // the service's label for feedback on a photo without a dish

export class FeedbackView {
  #client;
  #subject = null; // see show()

  /** @param {import("./inference-client.js").InferenceClient} client */
  constructor(client) {
    this.#client = client;
    byId("feedback-delete").addEventListener("click", () => this.#delete());
    client.addEventListener("change", () => this.#showAvailability());
  }

  /**
   * Offer to confirm or to correct an answer, or show the receipt of what was sent before.
   *
   * @param {{name: string, source: string, answer: any, photo: () => Promise<Blob>}} subject
   *   answer: a dish, or an inspection without dishes; keeps the receipt
   */
  show(subject) {
    this.#subject = subject;
    this.#showMessage("");
    this.translate();
  }

  translate() {
    if (!this.#subject) return;
    const label = labelOf(this.#subject.answer);
    const asks = isConfident(label) ? "feedbackIsRight" : "feedbackDoYouKnow";
    byId("feedback-title").textContent = t(asks);
    byId("feedback-choices").replaceChildren(
      ...choices(label, this.#client.model.classes).map(([name, text]) =>
        make(
          "button",
          { type: "button", data: { label: name }, on: { click: () => this.#send(name) } },
          icon(text === "right" ? "clean" : text === "wrong" ? "close" : kindOf(name)),
          text ? t(text) : labelName(name),
        ),
      ),
    );
    this.#showReceipt();
    this.#showAvailability();
  }

  clear() {
    this.#subject = null;
    byId("feedback").hidden = true;
  }

  #showAvailability() {
    byId("feedback").hidden = !this.#subject || this.#client.feedbackDays === null;
  }

  #showReceipt() {
    const { receipt } = this.#subject.answer;
    byId("feedback-choices").hidden = Boolean(receipt);
    byId("feedback-receipt").hidden = !receipt;
    if (!receipt) return;
    const { id, right, expires } = receipt;
    byId("feedback-thanks").textContent = t("feedbackKept", {
      answer: labelName(right),
      date: day(new Date(expires)),
    });
    byId("feedback-id").textContent = id;
  }

  #showMessage(text) {
    byId("feedback-message").textContent = text;
  }

  /** Ask for consent, once for as long as the service keeps photos for the same time. */
  async #consents() {
    const days = this.#client.feedbackDays;
    if (loadSetting("consent") === String(days)) return true;
    const text = `${t("feedbackTerms", { count: days })} ${t("feedbackNote")}`;
    if (!(await confirm(t("feedbackConsent"), text, t("feedbackAgree")))) return false;
    saveSetting("consent", String(days));
    return true;
  }

  async #send(trueLabel) {
    const subject = this.#subject;
    if (!(await this.#consents())) return;
    const { answer, name, source, photo } = subject;
    const { probabilities } = answer;
    const local = { model: this.#client.model.id, label: labelOf(answer), probabilities };
    await this.#run(subject, "feedbackNotKept", async () => {
      answer.receipt = await this.#client.sendFeedback({
        photo: { name, blob: await photo() },
        trueLabel,
        prediction: source === "device" && probabilities ? local : null,
      });
      if (answer.record) updateRecord(answer.record, { right: trueLabel });
      return "feedbackThanks";
    });
    // Move the focus: the button that had it is hidden now.
    if (this.#subject === subject && answer.receipt) byId("feedback-delete").focus();
  }

  async #delete() {
    const subject = this.#subject;
    const { answer } = subject;
    await this.#run(subject, "feedbackNotDeleted", async () => {
      await this.#client.deleteFeedback(answer.receipt.id);
      answer.receipt = null;
      if (answer.record) updateRecord(answer.record, { right: null });
      return "feedbackDeleted";
    });
    if (this.#subject === subject && !answer.receipt) {
      byId("feedback-choices").querySelector("button").focus();
    }
  }

  /** Run an action and show its outcome; announce it if another answer is shown by then. */
  async #run(subject, failed, action) {
    const buttons = byId("feedback").querySelectorAll("button");
    for (const button of buttons) button.disabled = true;
    this.#showMessage(t("feedbackWait"));
    let message;
    try {
      message = t(await action());
    } catch (error) {
      message = failureMessage(failed, error);
    }
    for (const button of buttons) button.disabled = false;
    if (this.#subject !== subject) return announce(`${subject.name}: ${message}`);
    this.#showMessage(message);
    this.#showReceipt();
  }
}

function labelOf({ label, verdict }) {
  return label ?? (verdict === NO_DISH ? NOT_A_DISH : verdict);
}

/** Labels to choose from, with the key of a text: "right", "wrong", or empty for the label's name. */
function choices(label, classes) {
  const others = classes.filter((name) => name !== label);
  if (label === NOT_A_DISH) return [[label, "right"], ...others.map((name) => [name, ""])];
  const right = classes.includes(label) ? [[label, "right"]] : [];
  const isOpposite = right.length && others.length === 1;
  return [...right, ...others.map((name) => [name, isOpposite ? "wrong" : ""]), [NOT_A_DISH, ""]];
}

function failureMessage(failed, error) {
  if (error instanceof UnreachableError) return t("feedbackUnknown");
  // 503: the service is busy, or its disk or database is unavailable
  return t(failed, { why: error.status === 503 ? t("feedbackUnavailable") : errorMessage(error) });
}
