/** The table of this visit: sorted, filtered, kept up to date row by row. */

import { byId, fileName, icon, make } from "./elements.js";
import { compareTexts, onLanguage, percent, t } from "./language.js";
import { groupOf } from "./visit.js";
import { isSure, kindOf, nameOf, whyNot } from "./words.js";

// Groups that are no label; their texts and icons.
const STATES = {
  failed: ["failed", "failed"],
  waiting: ["waiting", "waiting"],
  asking: ["asking", "waiting"],
  stopped: ["notAsked", "waiting"],
};
const SORTS = {
  photo: (a, b) => compareTexts(a.name, b.name),
  answer: (a, b) => compareTexts(groupName(groupOf(a)), groupName(groupOf(b))),
  confidence: (a, b) => confidence(a) - confidence(b),
};

/** How sure a row's answer is, for sorting; answers that are no class come first. */
function confidence({ entry }) {
  return entry?.label && isSure(entry.label) ? entry.probability : -1;
}

function groupName(group) {
  return STATES[group] ? t(STATES[group][0]) : nameOf(group);
}

export class VisitView {
  #rows = [];
  #lines = new Map(); // for each row what newLine() gives
  #sort = null; // [name, direction]; null: in the order they came
  #only = null; // the group that is shown; null: all
  #onOpen;
  #due = false;
  #opened = null;

  /** @param {(row: object) => void} onOpen called with the row whose photo is to be shown */
  constructor(onOpen) {
    this.#onOpen = onOpen;
    for (const button of document.querySelectorAll("#visit [data-sort]")) {
      button.addEventListener("click", () => this.#sortBy(button.dataset.sort));
    }
    onLanguage(() => {
      for (const row of this.#rows) this.#fill(row);
      this.#update();
    });
  }

  get rows() {
    return this.#rows;
  }

  /** Add rows at the end. */
  add(rows) {
    for (const row of rows) {
      this.#rows.push(row);
      this.#lines.set(row, newLine(row, this.#onOpen));
      this.#fill(row);
    }
    this.#update();
  }

  /** A row has changed. */
  changed(row) {
    if (!this.#lines.has(row)) return; // it was cleared meanwhile
    this.#fill(row);
    this.#soon();
  }

  /** Mark the row whose photo is shown. */
  open(row) {
    this.#lines.get(this.#opened)?.line.removeAttribute("aria-current");
    this.#opened = row;
    this.#lines.get(row)?.line.setAttribute("aria-current", "true");
  }

  clear() {
    this.#rows = [];
    this.#lines.clear();
    this.#only = null;
    this.#update();
  }

  #sortBy(name) {
    const again = this.#sort?.[0] === name;
    this.#sort = [name, again ? -this.#sort[1] : 1];
    for (const head of document.querySelectorAll("#visit th[aria-sort]")) {
      head.removeAttribute("aria-sort");
    }
    const head = document.querySelector(`#visit [data-sort=${name}]`).closest("th");
    head.setAttribute("aria-sort", this.#sort[1] > 0 ? "ascending" : "descending");
    this.#update();
  }

  /** Put the table in order with the next frame: many rows may change before it. */
  #soon() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#update();
    });
  }

  #update() {
    const counts = new Map();
    for (const row of this.#rows) {
      const group = groupOf(row);
      counts.set(group, (counts.get(group) ?? 0) + 1);
    }
    if (!counts.has(this.#only)) this.#only = null;
    this.#showGroups(counts);
    const shown = this.#rows.filter((row) => this.#only === null || groupOf(row) === this.#only);
    if (this.#sort) {
      const [name, direction] = this.#sort;
      shown.sort((a, b) => direction * SORTS[name](a, b));
    }
    putInOrder(
      byId("visit-rows"),
      shown.map((row) => this.#lines.get(row).line),
    );
  }

  /** A button for each answer there is, with its count. */
  #showGroups(counts) {
    const groups = [...counts.keys()].sort((a, b) => compareTexts(groupName(a), groupName(b)));
    const focused = document.activeElement?.dataset.group;
    const buttons = [null, ...groups].map((group) => {
      const count = group === null ? this.#rows.length : counts.get(group);
      return make(
        "button",
        {
          type: "button",
          class: "chip",
          data: { group: group ?? "", kind: group === null ? "all" : groupKind(group) },
          "aria-pressed": String(this.#only === group),
          on: { click: () => this.#showOnly(group) },
        },
        group === null ? null : icon(groupKind(group)),
        group === null ? t("all") : groupName(group),
        make("span", { class: "count", textContent: String(count) }),
      );
    });
    byId("visit-groups").replaceChildren(...buttons);
    if (focused !== undefined) buttons.find(({ dataset }) => dataset.group === focused)?.focus();
  }

  #showOnly(group) {
    this.#only = group;
    this.#update();
  }

  /** Bring a row's line up to date. Its button stays the same one: it may have the focus. */
  #fill(row) {
    const { photo, button, answer, sure } = this.#lines.get(row);
    button.setAttribute("aria-label", t("showPhoto", { name: row.name }));
    if (row.thumbnail && photo.tagName !== "IMG") {
      const image = make("img", { src: row.thumbnail, alt: "", width: 44, height: 44 });
      photo.replaceWith(image);
      this.#lines.get(row).photo = image;
    }
    const group = groupOf(row);
    const kind = groupKind(group);
    answer.replaceChildren(
      make("span", { class: "badge", data: { kind } }, icon(kind), groupName(group)),
    );
    if (row.state === "failed") {
      answer.append(make("span", { class: "why", textContent: whyNot(row.entry.error) }));
    }
    const isClass = row.state === "done" && isSure(row.entry.label);
    sure.textContent = isClass ? percent(row.entry.probability) : "–";
  }
}

/** An empty line of the table, and the parts of it that change. */
function newLine(row, onOpen) {
  const photo = make("span", { class: "no-thumbnail" });
  const name = make("span", { class: "name" }, ...fileName(row.name));
  const on = { click: () => onOpen(row) };
  const button = make("button", { type: "button", class: "link", title: row.name, on }, name);
  const answer = make("td");
  const sure = make("td", { class: "number" });
  const cell = make("td", {}, make("div", { class: "photo-cell" }, photo, button));
  return { line: make("tr", {}, cell, answer, sure), photo, button, answer, sure };
}

function groupKind(group) {
  return STATES[group] ? STATES[group][1] : kindOf(group);
}

/** Make these the children of a parent, moving only what is out of place: focus stays. */
function putInOrder(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, index) => {
    if (parent.children[index] !== child)
      parent.insertBefore(child, parent.children[index] ?? null);
  });
}
