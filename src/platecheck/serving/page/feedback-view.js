/** Saying what is right of a photo: with consent, and deleted when asked. */

import { announce } from "./announce.js";
import { byId, make } from "./elements.js";
import { day, t } from "./language.js";
import { Unreachable } from "./service.js";
import { isSure, nameOf, whyNot } from "./words.js";

const NO_DISH = "not a dish";

export class FeedbackView {
  #ask;
  #row = null; // whose answer is shown
  #blob = null;

  /** @param {import("./ask.js").Asker} ask */
  constructor(ask) {
    this.#ask = ask;
    byId("feedback-form").addEventListener("submit", (event) => {
      event.preventDefault(); // the page's policy lets no form go anywhere
      this.#send();
    });
    byId("feedback-delete").addEventListener("click", () => this.#delete());
    ask.addEventListener("change", () => this.#showWhetherPossible());
  }

  /** Offer it for a row that has an answer, or show what was given. */
  show(row, { blob }) {
    this.#row = row;
    this.#blob = blob;
    byId("feedback").open = false;
    byId("feedback-form").reset();
    const names = [...this.#ask.model.classes, NO_DISH];
    byId("feedback-choices").replaceChildren(...names.map(choice));
    this.#say("");
    this.#showTexts();
  }

  /** Say it in another language; what was chosen so far stays. */
  translate() {
    if (!this.#row) return;
    for (const input of byId("feedback-choices").querySelectorAll("input")) {
      input.nextElementSibling.textContent = nameOf(input.value);
    }
    this.#showTexts();
  }

  #showTexts() {
    const sure = isSure(this.#row.entry.label);
    byId("feedback-title").textContent = t(sure ? "feedbackRightOrNot" : "feedbackKnow");
    this.#showGiven();
    this.#showWhetherPossible();
  }

  clear() {
    this.#row = null;
    this.#blob = null;
    byId("feedback").hidden = true;
  }

  #showWhetherPossible() {
    const days = this.#ask.feedbackDays;
    byId("feedback").hidden = !this.#row || days === null;
    if (days !== null) byId("feedback-terms").textContent = t("feedbackTerms", { count: days });
  }

  #showGiven() {
    const { feedback } = this.#row;
    byId("feedback-form").hidden = Boolean(feedback);
    byId("feedback-given").hidden = !feedback;
    if (!feedback) return;
    const { id, right, expires } = feedback;
    byId("feedback").open = true;
    byId("feedback-thanks").textContent = t("feedbackKept", {
      answer: nameOf(right),
      date: day(new Date(expires)),
    });
    byId("feedback-id").textContent = id;
  }

  #say(text) {
    byId("feedback-message").textContent = text;
  }

  async #send() {
    const [row, form] = [this.#row, byId("feedback-form")];
    const right = new FormData(form).get("right");
    const { label, probabilities } = row.entry;
    const byDevice = { model: this.#ask.model.id, label, probabilities };
    await this.#work(row, "feedbackNotKept", async () => {
      row.feedback = await this.#ask.giveFeedback({
        photo: { name: row.name, blob: this.#blob },
        right,
        answer: row.where === "device" ? byDevice : null,
      });
      return "feedbackThanks";
    });
    if (this.#row === row && row.feedback) byId("feedback-delete").focus(); // what had it is gone
  }

  async #delete() {
    const row = this.#row;
    await this.#work(row, "feedbackNotDeleted", async () => {
      await this.#ask.deleteFeedback(row.feedback.id);
      row.feedback = null;
      return "feedbackDeleted";
    });
    if (this.#row === row && !row.feedback) byId("feedback-title").focus();
  }

  /** Do something that takes a while, and say how it ended, unless another photo is shown then. */
  async #work(row, failed, work) {
    const buttons = [byId("feedback-send"), byId("feedback-delete")];
    for (const button of buttons) button.disabled = true;
    this.#say(t("feedbackWait"));
    let said;
    try {
      said = t(await work());
    } catch (error) {
      said = whyFailed(failed, error);
    }
    for (const button of buttons) button.disabled = false;
    if (this.#row !== row) return announce(`${row.name}: ${said}`);
    this.#say(said);
    this.#showGiven();
  }
}

/** One of the answers that may be right. */
function choice(name) {
  const input = make("input", { type: "radio", name: "right", value: name, required: true });
  return make("label", { class: "check" }, input, make("span", { textContent: nameOf(name) }));
}

/** That feedback was not kept, or not deleted, and why. */
function whyFailed(failed, error) {
  if (error instanceof Unreachable) return t("feedbackUnknown");
  // 503: too much to do, or its disk or database is gone
  return t(failed, { why: error.status === 503 ? t("feedbackNotNow") : whyNot(error) });
}
