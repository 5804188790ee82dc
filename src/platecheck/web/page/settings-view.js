// @ts-check
/** The settings dialog: sound, where to run the model, what is stored on this device. */

import { announce } from "./announce.js";
import { byId, make } from "./elements.js";
import { labelName } from "./labels.js";
import { formatThreshold, onLanguageChange, t } from "./language.js";
import { cacheModel, canCache, deleteModel, isModelCached } from "./offline.js";
import { loadSetting, saveSetting } from "./settings.js";
import { isSoundOn, setSound } from "./sound.js";

export class SettingsView {
  #client;
  #dialog = byId("settings-dialog");
  #offline = null; // key of the text on whether the model is saved

  /** @param {import("./inference-client.js").InferenceClient} client */
  constructor(client) {
    this.#client = client;
    this.#listen();
    onLanguageChange(() => this.#show());
    client.addEventListener("change", () => this.#show());
  }

  /** Save the model on this device unless it is there already or the browser saves data. */
  async cacheModelInBackground() {
    const { model, status } = this.#client;
    if (!canCache() || !model?.offline || status === "offline") return;
    if (!(await isModelCached()) && !(/** @type {any} */ (navigator).connection?.saveData))
      await this.#save();
  }

  #listen() {
    byId("open-settings").addEventListener("click", () => this.#open());
    byId("settings-close").addEventListener("click", () => this.#dialog.close());
    byId("sound").addEventListener("change", ({ target }) => {
      setSound(target.checked);
      byId("watch-sound").checked = target.checked;
    });
    byId("device-only").addEventListener("change", ({ target }) => {
      this.#client.deviceOnly = target.checked;
    });
    byId("offline-save").addEventListener("click", () => this.#save());
    byId("withdraw").addEventListener("click", () => {
      saveSetting("consent", null);
      this.#show();
      byId("settings-close").focus();
      announce(t("feedbackWithdrawn"));
    });
    byId("forget-key").addEventListener("click", async () => {
      this.#client.forgetKey();
      this.#dialog.close();
      if (canCache()) await deleteModel();
      announce(t("keyForgotten"));
    });
  }

  async #open() {
    this.#offline = canCache() ? null : "offlineInsecure";
    this.#show();
    this.#dialog.showModal();
    if (canCache()) this.#setOffline((await isModelCached()) ? "offlineReady" : "offlineNotYet");
  }

  async #save() {
    this.#setOffline("offlineSaving");
    try {
      await cacheModel(this.#client.headers);
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
    const { model } = this.#client;
    byId("sound").checked = isSoundOn();
    byId("device-only").checked = this.#client.deviceOnly;
    byId("forget-key").hidden = !this.#client.hasKey;
    byId("withdraw").hidden = !loadSetting("consent");
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
    byId("model-limits").replaceChildren(
      ...limits(model).map((textContent) => make("li", { textContent })),
    );
    const { correct, photos } = model.metrics.test ?? {};
    byId("model-test").textContent = photos ? t("modelTest", { correct, photos }) : "";
  }
}

/** Say in words when the model gives an answer, and how often it may be wrong. */
function limits({ thresholds, promise }) {
  const lines = Object.entries(thresholds).map(([label, threshold]) => {
    const wrong = promise?.wrong[label];
    const texts = { name: labelName(label), percent: formatThreshold(threshold) };
    if (!wrong) return t("limit", texts);
    return t("limitWithErrors", { ...texts, count: Math.round(wrong * 100) });
  });
  return lines.length ? [...lines, t("limitElse")] : [];
}
