// @ts-check
/** Show a photo with its label, confidence and heatmap. */

import { announce } from "./announce.js";
import { breakableName, byId, icon, make } from "./elements.js";
import { errorMessage } from "./error-messages.js";
import { isConfident, kindOf, labelName, likelihoodPhrase, showsHeatmap } from "./labels.js";
import { formatThreshold, percent, t } from "./language.js";

const SLOW_AFTER = 5000; // milliseconds
const VISIBLE_ALPHA = 20; // of 255; fainter pixels of a heatmap cannot be seen

export class PredictionView {
  #url = null;
  #slow = null;

  constructor() {
    byId("map-strength").addEventListener("input", () => this.#fade());
    byId("photo").addEventListener("load", ({ target }) => {
      const ratio = target.naturalWidth / target.naturalHeight;
      target.parentElement.style.setProperty("--ratio", ratio);
    });
  }

  /** Show that a photo is being classified, and hide the previous prediction at once. */
  showPending(row) {
    byId("answer").hidden = false;
    this.#showVerdict("waiting", t("running"));
    byId("photo-name").replaceChildren(...breakableName(row.name));
    byId("photo-map").hidden = true;
    byId("confidence").textContent = "";
    byId("predicted-by").textContent = "";
    byId("bars").hidden = true;
    byId("map").hidden = true;
    clearTimeout(this.#slow);
    this.#slow = setTimeout(() => {
      byId("confidence").textContent = t("slow");
      announce(t("slow"));
    }, SLOW_AFTER);
  }

  /** Show the prepared photo. */
  showPhoto(row, { blob, width }) {
    this.#releasePhoto();
    const photo = byId("photo");
    const visible = Boolean(width);
    photo.parentElement.hidden = !visible;
    byId("no-preview").hidden = visible;
    if (visible) {
      this.#url = URL.createObjectURL(blob);
      photo.src = this.#url;
    }
    photo.alt = t("photoOf", { name: row.name });
  }

  show(row, model) {
    clearTimeout(this.#slow);
    const { prediction } = row;
    this.#showVerdict(kindOf(prediction.label), labelName(prediction.label));
    byId("confidence").replaceChildren(
      ...(isConfident(prediction.label)
        ? [
            `${likelihoodPhrase(prediction.probability)}, `,
            make("strong", { textContent: percent(prediction.probability) }),
          ]
        : [t(prediction.label === "unsure" ? "checkYourself" : "isThereADish")]),
    );
    byId("predicted-by").textContent = t(
      row.source === "device" ? "predictedOnDevice" : "predictedByService",
    );
    this.#showBars(prediction, model);
    this.#showHeatmap(prediction);
  }

  showError(error) {
    clearTimeout(this.#slow);
    this.#showVerdict("failed", t("failed"));
    byId("confidence").textContent = errorMessage(error);
  }

  clear() {
    clearTimeout(this.#slow);
    byId("answer").hidden = true;
    byId("photo").removeAttribute("src");
    byId("photo-map").removeAttribute("src");
    this.#releasePhoto();
  }

  #releasePhoto() {
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = null;
  }

  #showVerdict(kind, name) {
    byId("verdict").dataset.kind = kind;
    byId("verdict-icon").replaceChildren(icon(kind));
    byId("verdict-name").textContent = name;
  }

  /** Show each class's probability and threshold. */
  #showBars({ label, probabilities }, { thresholds }) {
    byId("bars").hidden = label === "not a dish"; // the probabilities mean nothing then
    byId("bars-mark").hidden = Object.keys(thresholds).length === 0;
    byId("bars-list").replaceChildren(
      ...Object.entries(probabilities).map(([name, probability]) => {
        const bar = make("span", { class: "bar", data: { kind: kindOf(name) } });
        bar.style.setProperty("--share", probability);
        const threshold = thresholds[name] ?? 0;
        if (threshold > 0) {
          const mark = make("span", {
            class: "threshold",
            title: t("classNeeds", {
              name: labelName(name),
              percent: formatThreshold(threshold),
            }),
          });
          mark.style.setProperty("--threshold", threshold);
          bar.append(mark);
        }
        return make(
          "li",
          {},
          make("span", { class: "bar-name", textContent: labelName(name) }),
          bar,
          make("span", { class: "bar-share", textContent: percent(probability) }),
        );
      }),
    );
  }

  async #showHeatmap({ evidence, label }) {
    const map = byId("photo-map");
    const visible = showsHeatmap(label) && Boolean(evidence) && byId("no-preview").hidden;
    byId("map").hidden = !visible;
    map.hidden = !visible;
    if (!visible || map.src === evidence) return;
    map.src = evidence;
    map.style.opacity = 0;
    // Fade in, after the initial style has been rendered, to show the dish first.
    requestAnimationFrame(() => requestAnimationFrame(() => this.#fade()));
    await map.decode().catch(() => null);
    if (map.src !== evidence) return; // another photo is shown by then
    const blank = isBlank(map);
    byId("map-strength").hidden = blank;
    byId("map-title").dataset.t = blank ? "mapBlank" : "map";
    byId("map-title").textContent = t(byId("map-title").dataset.t);
  }

  #fade() {
    byId("photo-map").style.opacity = byId("map-strength").value / 100;
  }
}

/** Whether a heatmap shows nothing. */
function isBlank(map) {
  const canvas = new OffscreenCanvas(map.naturalWidth || 1, map.naturalHeight || 1);
  const context = canvas.getContext("2d");
  context.drawImage(map, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  return data.every((value, i) => i % 4 !== 3 || value < VISIBLE_ALPHA);
}
