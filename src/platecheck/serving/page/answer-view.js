/** One photo and its answer: the word, how sure, where the dirt is. */

import { announce } from "./announce.js";
import { byId, fileName, icon, make } from "./elements.js";
import { percent, percentNeeded, t } from "./language.js";
import { kindOf, mayShowDirt, nameOf, sureness, isSure, whyNot } from "./words.js";

const SLOW = 5000; // milliseconds
const FAINT = 20; // of 255: less of a map's colour is not seen

export class AnswerView {
  #url = null;
  #slow = null;

  constructor() {
    byId("map-strength").addEventListener("input", () => this.#fade());
    byId("photo").addEventListener("load", ({ target }) => {
      const ratio = target.naturalWidth / target.naturalHeight;
      target.parentElement.style.setProperty("--ratio", ratio);
    });
  }

  /** Show at once that a photo is being asked about: an old answer must not be taken for its. */
  wait(row) {
    byId("answer").hidden = false;
    this.#showVerdict("waiting", t("asking"));
    byId("photo-name").replaceChildren(...fileName(row.name));
    byId("photo-map").hidden = true;
    byId("sure").textContent = "";
    byId("by").textContent = "";
    byId("bars").hidden = true;
    byId("map").hidden = true;
    clearTimeout(this.#slow);
    this.#slow = setTimeout(() => {
      byId("sure").textContent = t("slow");
      announce(t("slow"));
    }, SLOW);
  }

  /** Show the photo, as it was prepared. */
  showPhoto(row, { blob, width }) {
    this.#forgetPhoto();
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

  /** Show the answer for the photo. */
  show(row, model) {
    clearTimeout(this.#slow);
    const { entry } = row;
    this.#showVerdict(kindOf(entry.label), nameOf(entry.label));
    byId("sure").replaceChildren(
      ...(isSure(entry.label)
        ? [
            `${sureness(entry.probability)}, `,
            make("strong", { textContent: percent(entry.probability) }),
          ]
        : [t(entry.label === "unsure" ? "byEye" : "isThereADish")]),
    );
    byId("by").textContent = t(row.where === "device" ? "answeredOnDevice" : "answeredByService");
    this.#showBars(entry, model);
    this.#showMap(entry);
  }

  /** Show why there is no answer. */
  fail(error) {
    clearTimeout(this.#slow);
    this.#showVerdict("failed", t("failed"));
    byId("sure").textContent = whyNot(error);
  }

  clear() {
    clearTimeout(this.#slow);
    byId("answer").hidden = true;
    byId("photo").removeAttribute("src");
    byId("photo-map").removeAttribute("src");
    this.#forgetPhoto();
  }

  #forgetPhoto() {
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = null;
  }

  #showVerdict(kind, name) {
    byId("verdict").dataset.kind = kind;
    byId("verdict-icon").replaceChildren(icon(kind));
    byId("verdict-name").textContent = name;
  }

  /** Every class with its probability, and from where on it is said. */
  #showBars({ label, probabilities }, { thresholds }) {
    byId("bars").hidden = label === "not a dish"; // then they say nothing
    byId("bars-mark").hidden = Object.keys(thresholds).length === 0;
    byId("bars-list").replaceChildren(
      ...Object.entries(probabilities).map(([name, probability]) => {
        const bar = make("span", { class: "bar", data: { kind: kindOf(name) } });
        bar.style.setProperty("--share", probability);
        const needed = thresholds[name] ?? 0;
        if (needed > 0) {
          const mark = make("span", {
            class: "needed",
            title: t("classNeeds", {
              name: nameOf(name),
              percent: percentNeeded(needed),
            }),
          });
          mark.style.setProperty("--needed", needed);
          bar.append(mark);
        }
        return make(
          "li",
          {},
          make("span", { class: "bar-name", textContent: nameOf(name) }),
          bar,
          make("span", { class: "bar-share", textContent: percent(probability) }),
        );
      }),
    );
  }

  /** Where the dirt is; what is clean, or no dish, has none to show, whatever is drawn. */
  async #showMap({ evidence, label }) {
    const map = byId("photo-map");
    const visible = mayShowDirt(label) && Boolean(evidence) && byId("no-preview").hidden;
    byId("map").hidden = !visible;
    map.hidden = !visible;
    if (!visible || map.src === evidence) return;
    map.src = evidence;
    map.style.opacity = 0;
    // Faded in, so that one sees the dish first; the style above must have been drawn once.
    requestAnimationFrame(() => requestAnimationFrame(() => this.#fade()));
    await map.decode().catch(() => null);
    if (map.src !== evidence) return; // another photo is shown by now
    const blank = isBlank(map);
    byId("map-strength").hidden = blank;
    byId("map-title").dataset.t = blank ? "mapBlank" : "map";
    byId("map-title").textContent = t(byId("map-title").dataset.t);
  }

  #fade() {
    byId("photo-map").style.opacity = byId("map-strength").value / 100;
  }
}

/** Whether nothing can be seen in a map. */
function isBlank(map) {
  const canvas = new OffscreenCanvas(map.naturalWidth || 1, map.naturalHeight || 1);
  const context = canvas.getContext("2d");
  context.drawImage(map, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  return data.every((value, i) => i % 4 !== 3 || value < FAINT);
}
