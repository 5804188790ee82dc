/** The table of this visit: sorted, filtered, kept up to date row by row. */

import { byId, icon, make } from "./elements.js";
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
  #lines = new Map(); // a table row for each row
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
      this.#lines.set(row, make("tr"));
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
    this.#lines.get(this.#opened)?.removeAttribute("aria-current");
    this.#opened = row;
    this.#lines.get(row)?.setAttribute("aria-current", "true");
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
    putInOrder(byId("visit-rows"), shown.map((row) => this.#lines.get(row)));
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

  #fill(row) {
    const group = groupOf(row);
    const kind = groupKind(group);
    const why = row.state === "failed" ? whyNot(row.entry.error) : null;
    const sure = row.state === "done" && isSure(row.entry.label);
    this.#lines.get(row).replaceChildren(
      make(
        "td",
        {},
        make(
          "div",
          { class: "photo-cell" },
          row.thumbnail
            ? make("img", { src: row.thumbnail, alt: "", width: 44, height: 44 })
            : make("span", { class: "no-thumbnail" }),
          make(
            "button",
            {
              type: "button",
              class: "link",
              title: row.name,
              "aria-label": t("showPhoto", { name: row.name }),
              on: { click: () => this.#onOpen(row) },
            },
            make("span", { class: "name", textContent: row.name }),
          ),
        ),
      ),
      make(
        "td",
        {},
        make("span", { class: "badge", data: { kind } }, icon(kind), groupName(group)),
        why ? make("span", { class: "why", textContent: why }) : null,
      ),
      make("td", { class: "number", textContent: sure ? percent(row.entry.probability) : "–" }),
    );
  }
}

function groupKind(group) {
  return STATES[group] ? STATES[group][1] : kindOf(group);
}

/** Make these the children of a parent, moving only what is out of place: focus stays. */
function putInOrder(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
}
