// @ts-check
/** The table of this session: sorted, filtered, updated row by row. */

import { breakableName, byId, icon, make } from "./elements.js";
import { errorMessage } from "./error-messages.js";
import { countsText } from "./inspection.js";
import { isConfident, kindOf, labelName } from "./labels.js";
import { compareTexts, onLanguageChange, percent, t } from "./language.js";
import { groupOf } from "./session.js";

// Groups that are not labels: key of the text, icon.
const STATES = {
  failed: ["failed", "failed"],
  waiting: ["waiting", "waiting"],
  running: ["running", "waiting"],
  stopped: ["notClassified", "waiting"],
};
const SORTS = {
  importance: (a, b) => rank(groupOf(a)) - rank(groupOf(b)),
  photo: (a, b) => compareTexts(a.name, b.name),
  answer: (a, b) => compareTexts(groupName(groupOf(a)), groupName(groupOf(b))),
  confidence: (a, b) => certainty(a) - certainty(b),
};

// Answers that need attention come first, and photos without an answer last; other labels fourth.
const RANKS = [
  "dirty",
  "unsure",
  "failed",
  "no dish",
  "",
  "clean",
  "running",
  "waiting",
  "stopped",
];

function rank(group) {
  const index = RANKS.indexOf(group);
  return index < 0 ? RANKS.indexOf("") : index;
}

/** Sort key: the probability of the only dish; photos without one come first. */
function certainty({ inspection }) {
  const { dishes = [], verdict } = inspection ?? {};
  return dishes.length === 1 && isConfident(verdict) ? dishes[0].probability : -1;
}

function groupName(group) {
  return STATES[group] ? t(STATES[group][0]) : labelName(group);
}

export class SessionView {
  #rows = [];
  #lines = new Map(); // by row, see newLine()
  #sort = null; // [name, direction]; null: in order of importance
  #filter = null; // group to show; null: all
  #onOpen;
  #refreshDue = false;
  #opened = null;

  /** @param {(row: object) => void} onOpen called to show a row's photo */
  constructor(onOpen) {
    this.#onOpen = onOpen;
    /** @type {NodeListOf<HTMLElement>} */
    const buttons = document.querySelectorAll("#session [data-sort]");
    for (const button of buttons) {
      button.addEventListener("click", () => this.#sortBy(button.dataset.sort));
    }
    onLanguageChange(() => {
      for (const row of this.#rows) this.#fill(row);
      this.#refresh();
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
    this.#refresh();
  }

  /** Show a row's new state. */
  update(row) {
    if (!this.#lines.has(row)) return; // cleared meanwhile
    this.#fill(row);
    this.#scheduleRefresh();
  }

  /** Mark the row whose photo is shown; null: none. */
  open(row) {
    this.#lines.get(this.#opened)?.line.removeAttribute("aria-current");
    this.#opened = row;
    this.#lines.get(row)?.line.setAttribute("aria-current", "true");
  }

  clear() {
    this.#rows = [];
    this.#lines.clear();
    this.#filter = null;
    this.#refresh();
  }

  #sortBy(name) {
    const again = this.#sort?.[0] === name;
    this.#sort = [name, again ? -this.#sort[1] : 1];
    for (const head of document.querySelectorAll("#session th[aria-sort]")) {
      head.removeAttribute("aria-sort");
    }
    const head = document.querySelector(`#session [data-sort=${name}]`).closest("th");
    head.setAttribute("aria-sort", this.#sort[1] > 0 ? "ascending" : "descending");
    this.#refresh();
  }

  /** Refresh with the next frame, as many rows may change at once. */
  #scheduleRefresh() {
    if (this.#refreshDue) return;
    this.#refreshDue = true;
    requestAnimationFrame(() => {
      this.#refreshDue = false;
      this.#refresh();
    });
  }

  #refresh() {
    const counts = new Map();
    for (const row of this.#rows) {
      const group = groupOf(row);
      counts.set(group, (counts.get(group) ?? 0) + 1);
    }
    if (!counts.has(this.#filter)) this.#filter = null;
    this.#showFilters(counts);
    const shown = this.#rows.filter(
      (row) => this.#filter === null || groupOf(row) === this.#filter,
    );
    const [name, direction] = this.#sort ?? ["importance", 1];
    shown.sort((a, b) => direction * SORTS[name](a, b));
    putInOrder(
      byId("session-rows"),
      shown.map((row) => this.#lines.get(row).line),
    );
  }

  /** Show a filter button with the count of each group. */
  #showFilters(counts) {
    const groups = [...counts.keys()].sort((a, b) => rank(a) - rank(b));
    const focused = /** @type {HTMLElement} */ (document.activeElement)?.dataset.group;
    const buttons = [null, ...groups].map((group) => {
      const count = group === null ? this.#rows.length : counts.get(group);
      return make(
        "button",
        {
          type: "button",
          class: "chip",
          data: { group: group ?? "", kind: group === null ? "all" : groupKind(group) },
          "aria-pressed": String(this.#filter === group),
          on: { click: () => this.#setFilter(group) },
        },
        group === null ? null : icon(groupKind(group)),
        group === null ? t("all") : groupName(group),
        make("span", { class: "count", textContent: String(count) }),
      );
    });
    byId("session-groups").replaceChildren(...buttons);
    if (focused !== undefined) buttons.find(({ dataset }) => dataset.group === focused)?.focus();
  }

  #setFilter(group) {
    this.#filter = group;
    this.#refresh();
  }

  /** Update a row's line, keeping its button, which may have the focus. */
  #fill(row) {
    const { photo, button, label, confidence } = this.#lines.get(row);
    button.setAttribute("aria-label", t("showPhoto", { name: row.name }));
    if (row.thumbnail && photo.tagName !== "IMG") {
      const image = make("img", { src: row.thumbnail, alt: "", width: 44, height: 44 });
      photo.replaceWith(image);
      this.#lines.get(row).photo = image;
    }
    const group = groupOf(row);
    const kind = groupKind(group);
    label.replaceChildren(
      make("span", { class: "badge", data: { kind } }, icon(kind), groupName(group)),
      make("span", { class: "share", "aria-hidden": "true" }), // where there is no third column
    );
    if (row.state === "failed") {
      label.append(make("span", { class: "why", textContent: errorMessage(row.inspection.error) }));
    } else if (row.state === "done" && row.inspection.dishes.length > 1) {
      label.append(make("span", { class: "why", textContent: countsText(row.inspection.dishes) }));
    }
    const share = row.state === "done" ? certainty(row) : -1;
    confidence.textContent = share < 0 ? "–" : percent(share);
    if (share >= 0) label.querySelector(".share").textContent = percent(share);
  }
}

/** Create a table line; return it with the parts that change. */
function newLine(row, onOpen) {
  const photo = make("span", { class: "no-thumbnail" });
  const name = make("span", { class: "name" }, ...breakableName(row.name));
  const on = { click: () => onOpen(row) };
  const button = make("button", { type: "button", class: "link", title: row.name, on }, name);
  const label = make("td");
  const confidence = make("td", { class: "number" });
  const cell = make("td", {}, make("div", { class: "photo-cell" }, photo, button));
  return { line: make("tr", {}, cell, label, confidence), photo, button, label, confidence };
}

function groupKind(group) {
  return STATES[group] ? STATES[group][1] : kindOf(group);
}

/** Set the children of an element, moving as few as possible so that focus stays. */
function putInOrder(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, index) => {
    if (parent.children[index] !== child)
      parent.insertBefore(child, parent.children[index] ?? null);
  });
}
