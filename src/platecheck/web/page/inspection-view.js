// @ts-check
/** Show a photo with its dishes, what they say together, and what is known of the selected one. */

import { announce } from "./announce.js";
import { DishBoxes, dishName } from "./dish-boxes.js";
import { breakableName, byId, icon, make } from "./elements.js";
import { errorMessage } from "./error-messages.js";
import { countsText, verdictText } from "./inspection.js";
import { isConfident, kindOf, labelName, likelihoodPhrase, topClass } from "./labels.js";
import { formatThreshold, percent, t } from "./language.js";

const SLOW_AFTER = 5000; // milliseconds
const VISIBLE_ALPHA = 20; // of 255; fainter pixels of a heatmap cannot be seen

export class InspectionView {
  #boxes = new DishBoxes(byId("boxes"), (index) => this.#select(index));
  #onSelect;
  #inspection = null;
  #thresholds = {};
  #selected = null; // index of the dish
  #heatmap = null;
  #url = null;
  #slow = null;

  /** @param {(index: number) => void} onSelect called when another dish is selected */
  constructor(onSelect) {
    this.#onSelect = onSelect;
    byId("map-strength").addEventListener("input", () => this.#fade());
    byId("photo").addEventListener("load", ({ target }) => {
      const ratio = target.naturalWidth / target.naturalHeight;
      target.parentElement.style.setProperty("--ratio", ratio);
    });
  }

  /** Show that a photo is being inspected, and hide the previous inspection at once. */
  showPending(row) {
    byId("answer").hidden = false;
    this.#showVerdict("waiting", t("running"));
    byId("photo-name").replaceChildren(...breakableName(row.name));
    byId("confidence").textContent = "";
    byId("predicted-by").textContent = "";
    this.#clearDishes();
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

  /** Show a row's inspection with a dish selected; -1: the most urgent that is not clean. */
  show(row, { thresholds }, selected = -1) {
    clearTimeout(this.#slow);
    const { inspection } = row;
    const { verdict, dishes } = inspection;
    this.#inspection = inspection;
    this.#thresholds = thresholds;
    this.#showVerdict(kindOf(verdict), verdictText(inspection));
    byId("confidence").replaceChildren(...summary(inspection));
    byId("predicted-by").textContent = t(
      row.source === "device" ? "predictedOnDevice" : "predictedByService",
    );
    this.#boxes.show(inspection);
    this.#selected = null;
    byId("select-hint").hidden = dishes.length < 2 || !byId("no-preview").hidden;
    const first = dishes.length === 1 || dishes[0]?.label !== "clean" ? 0 : null;
    this.#select(selected < 0 ? first : selected);
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
    this.#clearDishes();
    this.#releasePhoto();
  }

  /** Index of the selected dish; null: none. */
  get selected() {
    return this.#selected;
  }

  #clearDishes() {
    this.#inspection = null;
    this.#selected = null;
    this.#boxes.clear();
    for (const id of ["dish-title", "bars", "map", "select-hint"]) byId(id).hidden = true;
  }

  #releasePhoto() {
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = null;
  }

  #showVerdict(kind, name) {
    byId("verdict").dataset.kind = kind;
    byId("verdict-icon").replaceChildren(icon(kind));
    byId("verdict-name").textContent = name;
    byId("verdict-name").style.setProperty("--letters", name.length); // short words are larger
  }

  #select(index) {
    if (index !== null && index === this.#selected) return;
    this.#selected = index;
    const { dishes } = this.#inspection;
    const dish = dishes[index];
    this.#showHeatmap(index);
    byId("dish-title").hidden = !dish || dishes.length < 2;
    byId("bars").hidden = !dish;
    this.#onSelect(index);
    if (!dish) return;
    byId("dish-title").dataset.kind = kindOf(dish.label);
    byId("dish-title").replaceChildren(
      icon(kindOf(dish.label)),
      make("span", { textContent: dishName(dish, index, dishes.length) }),
    );
    this.#showBars(dish);
  }

  /** Show each class's probability and threshold; only what the label says has a color. */
  #showBars({ label, probabilities }) {
    const name = topClass({ probabilities });
    const limit = this.#thresholds[name];
    byId("bars-mark").hidden = !limit;
    byId("bars-mark").textContent = limit
      ? t("limit", { name: labelName(name), percent: formatThreshold(limit) })
      : "";
    byId("bars-list").replaceChildren(
      ...Object.entries(probabilities).map(([name, probability]) => {
        const kind = isConfident(label) && name !== label ? "waiting" : kindOf(name);
        const bar = make("span", { class: "bar", data: { kind } });
        bar.style.setProperty("--share", probability);
        const threshold = this.#thresholds[name] ?? 0;
        if (threshold > 0) {
          const mark = make("span", { class: "threshold" });
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

  async #showHeatmap(index) {
    const map = this.#boxes.select(index);
    this.#heatmap = map;
    byId("map").hidden = !map || !byId("no-preview").hidden;
    if (!map) return;
    map.style.opacity = "0";
    // Fade in, after the initial style has been rendered, to show the dish first.
    requestAnimationFrame(() => requestAnimationFrame(() => this.#fade()));
    await map.decode().catch(() => null);
    if (map !== this.#heatmap) return; // another dish is shown by then
    const blank = isBlank(map);
    byId("map-strength").hidden = blank;
    byId("map-title").dataset.t = blank ? "mapBlank" : "map";
    byId("map-title").textContent = t(byId("map-title").dataset.t);
  }

  #fade() {
    if (this.#heatmap) this.#heatmap.style.opacity = byId("map-strength").value / 100;
  }
}

/** The second line of the banner. */
function summary({ verdict, dishes }) {
  if (!dishes.length) return [t("isThereADish")];
  if (dishes.length > 1) return [countsText(dishes)];
  if (!isConfident(verdict)) return [t("checkYourself")];
  const { probability } = dishes[0];
  const share = make("strong", { textContent: percent(probability) });
  return [`${likelihoodPhrase(probability)}, `, share];
}

/** Whether a heatmap shows nothing. */
function isBlank(map) {
  const canvas = new OffscreenCanvas(map.naturalWidth || 1, map.naturalHeight || 1);
  const context = canvas.getContext("2d");
  context.drawImage(map, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  return data.every((value, i) => i % 4 !== 3 || value < VISIBLE_ALPHA);
}
