/** The settings: language, tones, where answers come from, what is kept on this device. */

import { announce } from "./announce.js";
import { byId, make } from "./elements.js";
import { currentLanguage, LANGUAGES, onLanguage, setLanguage, t } from "./language.js";
import { canKeep, forgetModel, isModelKept, keepModel } from "./offline.js";
import { isSoundOn, setSound } from "./sound.js";
import { TEXTS } from "./texts.js";

export class SettingsView {
  #ask;
  #dialog = byId("settings-dialog");
  #offline = null; // the text that says whether the model is kept

  /** @param {import("./ask.js").Asker} ask */
  constructor(ask) {
    this.#ask = ask;
    byId("language").append(
      ...LANGUAGES.map((tag) =>
        make("option", { value: tag, lang: tag, textContent: TEXTS[tag].languageName }),
      ),
    );
    this.#listen();
    onLanguage(() => this.#show());
    ask.addEventListener("change", () => this.#show());
  }

  /** Keep the model on this device unless it is there already, and unless data are dear. */
  async keepModelQuietly() {
    const { model, where } = this.#ask;
    if (!canKeep() || !model?.offline || where === "alone") return;
    if (!(await isModelKept()) && !navigator.connection?.saveData) await this.#keep();
  }

  #listen() {
    byId("open-settings").addEventListener("click", () => this.#open());
    byId("settings-close").addEventListener("click", () => this.#dialog.close());
    byId("language").addEventListener("change", ({ target }) => setLanguage(target.value));
    byId("sound").addEventListener("change", ({ target }) => {
      setSound(target.checked);
      byId("watch-sound").checked = target.checked;
    });
    byId("device-only").addEventListener("change", ({ target }) => {
      this.#ask.deviceOnly = target.checked;
    });
    byId("offline-save").addEventListener("click", () => this.#keep());
    byId("forget-key").addEventListener("click", async () => {
      this.#ask.forgetKey();
      this.#dialog.close();
      if (canKeep()) await forgetModel();
      announce(t("keyForgotten"));
    });
  }

  async #open() {
    this.#offline = canKeep() ? null : "offlineInsecure";
    this.#show();
    this.#dialog.showModal();
    if (canKeep()) this.#setOffline((await isModelKept()) ? "offlineReady" : "offlineNotYet");
  }

  async #keep() {
    this.#setOffline("offlineSaving");
    try {
      await keepModel(this.#ask.headers);
      this.#setOffline("offlineReady");
    } catch {
      this.#setOffline("offlineFailed");
    }
  }

  #setOffline(key) {
    this.#offline = key;
    this.#show();
  }

  #show() {
    const { model } = this.#ask;
    byId("language").value = currentLanguage();
    byId("sound").checked = isSoundOn();
    byId("device-only").checked = this.#ask.deviceOnly;
    byId("forget-key").hidden = !this.#ask.hasKey;
    byId("model-section").hidden = !model;
    const never = model?.offline === false;
    const offline = never ? "offlineNever" : this.#offline;
    byId("offline-state").textContent = offline ? t(offline) : "";
    byId("offline-save").hidden = !["offlineNotYet", "offlineFailed"].includes(offline);
    byId("device-only").disabled = never;
    if (!model) return;
    byId("model-line").textContent = t("modelLine", {
      id: model.id,
      classes: model.classes.join(", "),
    });
    const { correct, photos } = model.metrics.test ?? {};
    byId("model-test").textContent = photos ? t("modelTest", { correct, photos }) : "";
  }
}
