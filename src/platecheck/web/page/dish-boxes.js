// @ts-check
/** Outline the dishes on a photo or a video, each with its icon, label and heatmap. */

import { area } from "./crops.js";
import { icon, make } from "./elements.js";
import { describe, isConfident, kindOf, labelName, showsHeatmap } from "./labels.js";
import { percent, t } from "./language.js";

export class DishBoxes {
  #list;
  #onSelect;
  #items = [];

  /**
   * @param {HTMLElement} list an ol that covers the picture
   * @param {((index: number) => void)|null} onSelect called when a dish is tapped or focused; null:
   *   the dishes cannot be selected
   */
  constructor(list, onSelect = null) {
    this.#list = list;
    this.#onSelect = onSelect;
  }

  /** Outline the dishes of an inspection. A single dish has no label here: the banner has it. */
  show({ dishes, width, height }) {
    const whole = [0, 0, width || 1, height || 1];
    const boxes = dishes.map(({ box }) => box ?? whole);
    const byArea = [...boxes].sort((a, b) => area(b) - area(a));
    this.#items = dishes.map((dish, index) => {
      const box = boxes[index];
      const item = make("li", { data: { kind: kindOf(dish.label) } });
      place(item, box, whole);
      item.style.setProperty("z-index", byArea.indexOf(box)); // what is in front can be tapped
      item.classList.toggle("whole", dish.box === null);
      if (dish.heatmap && showsHeatmap(dish.label)) {
        item.append(make("img", { class: "heatmap", alt: "", src: dish.heatmap }));
        place(item.lastChild, dish.crop ?? box, box);
      }
      if (dishes.length > 1) item.append(tag(dish), ...this.#button(dish, index, dishes.length));
      return item;
    });
    this.#list.replaceChildren(...this.#items);
  }

  #button(dish, index, count) {
    if (!this.#onSelect) return [];
    const select = () => this.#onSelect(index);
    const on = { click: select, focus: select };
    const name = dishName(dish, index, count);
    return [make("button", { type: "button", "aria-label": name, on })];
  }

  /** Mark a dish by its index, null: none; return its heatmap, which is shown, if it has one. */
  select(selected) {
    this.#items.forEach((item, index) => {
      item.classList.toggle("selected", index === selected);
      item.querySelector("button")?.setAttribute("aria-pressed", String(index === selected));
    });
    return this.#items[selected]?.querySelector("img") ?? null;
  }

  clear() {
    this.#items = [];
    this.#list.replaceChildren();
  }
}

/**
 * @param {import("./inspection.js").Dish} dish
 * @param {number} index
 * @param {number} count number of dishes
 * @returns {string} such as "Dish 2 of 5: Dirty, very likely, 93%"
 */
export function dishName(dish, index, count) {
  return t("dishNumber", { number: index + 1, count, answer: describe(dish) });
}

function tag({ label, probability }) {
  return make(
    "span",
    { class: "tag", "aria-hidden": "true" },
    icon(kindOf(label)),
    make("span", { class: "tag-label", textContent: labelName(label) }),
    isConfident(label)
      ? make("span", { class: "tag-share", textContent: percent(probability) })
      : null,
  );
}

/** Place an element over a part of another one. */
function place(element, box, part) {
  const [[x0, y0, x1, y1], [left, top, right, bottom]] = [box, part];
  const [width, height] = [right - left, bottom - top];
  const sides = { left: (x0 - left) / width, top: (y0 - top) / height };
  const lengths = { width: (x1 - x0) / width, height: (y1 - y0) / height };
  for (const [name, share] of Object.entries({ ...sides, ...lengths })) {
    element.style.setProperty(name, `${100 * share}%`);
  }
}
