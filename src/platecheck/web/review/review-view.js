// @ts-check
/** Review photos one by one: show predictions and feedback, record decisions. */

import { announce, notify } from "./announce.js";
import { byId, icon, make } from "./elements.js";
import { isConfident, kindOf, labelName } from "./labels.js";
import { onLanguageChange, percent, t } from "./language.js";
import { Queue } from "./queue.js";
import { fetchPhoto, fetchQueue, photoUrl, sendDecision } from "./review-service.js";
import { loadSetting, saveSetting } from "./settings.js";

const LARGE = 2048; // pixels of the longer side
const PREFETCHED = 3; // photos, including the current one
const NOT_A_DISH = "not a dish";

export class ReviewView {
  #reviewer = "";
  #queue = new Queue([]);
  #labels = [];
  #photos = new PhotoCache();
  #busy = false;

  constructor() {
    byId("skip-photo").addEventListener("click", () => this.#skip());
    byId("undo").addEventListener("click", () => this.#undo());
    byId("undo-last").addEventListener("click", () => this.#undo());
    byId("go-through-skipped").addEventListener("click", () => {
      this.#queue.requeueSkipped();
      this.#show();
      byId("main").focus();
    });
    byId("keys").checked = loadSetting("keys") !== "off";
    byId("keys").addEventListener("change", ({ target }) => {
      saveSetting("keys", target.checked ? null : "off");
      this.#showKeys();
    });
    addEventListener("keydown", (event) => this.#onKey(event));
    onLanguageChange(() => {
      this.#makeButtons();
      this.#show();
    });
  }

  /** Load the queue of a reviewer. */
  async start(reviewer) {
    this.#reviewer = reviewer;
    try {
      const { labels, photos } = await fetchQueue(reviewer);
      this.#labels = labels;
      this.#queue = new Queue(photos);
      this.#makeButtons();
      this.#show();
    } catch (error) {
      this.#showError(error);
    }
  }

  get #current() {
    return this.#queue.next(1)[0];
  }

  #makeButtons() {
    byId("decisions").replaceChildren(
      ...this.#labels.map((label) => {
        const key = this.#keyOf(label);
        return make(
          "button",
          {
            type: "button",
            data: { kind: kindOf(label) },
            on: { click: () => this.#decide(label) },
            ...(key ? { "aria-keyshortcuts": key } : {}),
          },
          icon(kindOf(label)),
          make("span", { textContent: labelName(label) }),
          key ? make("kbd", { textContent: key }) : null,
        );
      }),
    );
    this.#showKeys();
  }

  /** 0 for "not a dish", 1 to 9 for the first classes, none for others. */
  #keyOf(label) {
    if (label === NOT_A_DISH) return "0";
    const number = this.#labels.indexOf(label) + 1;
    return number <= 9 ? String(number) : "";
  }

  #showKeys() {
    byId("item").classList.toggle("no-keys", !byId("keys").checked);
  }

  #onKey(event) {
    const typing = event.target.closest("input:not([type=checkbox]), select, dialog");
    if (typing || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
    if (!byId("keys").checked || byId("review-view").hidden) return;
    // By position: the characters depend on the keyboard layout.
    const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1];
    const label = this.#labels.find((each) => digit && this.#keyOf(each) === digit);
    if (label) this.#decide(label);
    else if (event.code === "KeyS") this.#skip();
    else if (event.code === "KeyU") this.#undo();
    else return;
    event.preventDefault();
  }

  async #decide(label) {
    const item = this.#current;
    if (!item) return;
    await this.#send(item, label, () => {
      this.#queue.decide(item, label);
      this.#show(t("decided", { label: labelName(label) }));
    });
  }

  #skip() {
    const item = this.#current;
    if (!item || this.#busy) return;
    this.#queue.skip(item);
    this.#show(t("skipped"));
  }

  async #undo() {
    const item = this.#queue.last;
    if (!item) return;
    const done = () => {
      const wasDone = !this.#current;
      this.#queue.undo();
      this.#show(t("undone"));
      if (wasDone) byId("main").focus(); // the focused button is hidden now
    };
    if (item.decision === null) done();
    else await this.#send(item, null, done);
  }

  /** Send a decision, then run `then`; ignored while another one is being sent. */
  async #send(item, label, then) {
    if (this.#busy) return;
    this.#busy = true;
    try {
      await sendDecision(item.photo, this.#reviewer, label);
      notify("review", null);
      then();
    } catch (error) {
      if (error.status === 404) {
        this.#queue.remove(item);
        this.#show(t("deleted"));
        notify("review", () => t("deleted"));
      } else {
        this.#showError(error);
      }
    } finally {
      this.#busy = false;
    }
  }

  #showError(error) {
    notify("review", () =>
      error.status === 0 ? t("noService") : t("failed", { why: error.message }),
    );
  }

  /** Show the next photo; announce it after the outcome of the last action. */
  #show(done = "") {
    const { count, decided, canUndo } = this.#queue;
    byId("progress-bar").max = count || 1;
    byId("progress-bar").value = decided;
    byId("progress-text").textContent = t("progress", { done: decided, count });
    byId("undo").disabled = !canUndo;
    byId("undo-last").hidden = !canUndo;
    const next = this.#queue.next(PREFETCHED);
    this.#photos.prefetch(next.map(({ photo }) => photo));
    byId("item").hidden = !next.length;
    byId("done").hidden = next.length > 0;
    if (next.length) this.#showItem(next[0], done);
    else this.#showEnd(done);
  }

  #showItem(item, done) {
    byId("service-said").replaceChildren(badge(item.label, confidenceText(item)));
    byId("users-said").replaceChildren(
      ...Object.entries(item.said).map(([label, count]) =>
        badge(label, count > 1 ? `×${count}` : ""),
      ),
    );
    byId("photo-link").href = photoUrl(item.photo, LARGE);
    byId("photo").alt = t("photoAlt");
    this.#showPhoto(item);
    const next = t("next", {
      number: this.#queue.decided + this.#queue.skipped + 1,
      count: this.#queue.count,
      answer: [labelName(item.label), confidenceText(item)].filter(Boolean).join(", "),
      said: Object.keys(item.said).map(labelName).join(", "),
    });
    if (done) announce(`${done} ${next}`);
  }

  async #showPhoto(item) {
    const photo = byId("photo");
    photo.classList.add("loading");
    try {
      photo.src = await this.#photos.get(item.photo);
      await photo.decode();
      photo.classList.remove("loading");
    } catch {
      if (this.#current === item) notify("review", () => t("notLoaded"));
    }
  }

  #showEnd(done) {
    const { count, skipped } = this.#queue;
    const [title, text] = !count
      ? [t("nothing"), t("nothingText")]
      : skipped
        ? [t("skippedLeft", { count: skipped }), t("skippedLeftText")]
        : [t("allDone"), t("allDoneText")];
    byId("done-title").textContent = title;
    byId("done-text").textContent = text;
    byId("go-through-skipped").hidden = !skipped;
    if (!done) return;
    announce(`${done} ${title} ${text}`);
    byId("done").focus();
  }
}

/** Photos that are to be shown next, fetched ahead. */
class PhotoCache {
  #urls = new Map(); // promises of object URLs by photo

  /**
   * Fetch these photos and release all others.
   *
   * @param {string[]} photos
   */
  prefetch(photos) {
    for (const [photo, url] of this.#urls) {
      if (photos.includes(photo)) continue;
      this.#urls.delete(photo);
      url.then(URL.revokeObjectURL, () => null);
    }
    for (const photo of photos) {
      if (!this.#urls.has(photo)) {
        const url = fetchPhoto(photo, LARGE).then((blob) => URL.createObjectURL(blob));
        url.catch(() => null); // reported when the photo is shown
        this.#urls.set(photo, url);
      }
    }
  }

  /**
   * @param {string} photo
   * @returns {Promise<string>|undefined} object URL of a prefetched photo
   */
  get(photo) {
    return this.#urls.get(photo);
  }
}

function confidenceText({ label, probability }) {
  return isConfident(label) ? percent(probability) : "";
}

function badge(label, more) {
  return make(
    "span",
    { class: "badge", data: { kind: kindOf(label) } },
    icon(kindOf(label)),
    make("span", { textContent: labelName(label) }),
    more ? make("span", { class: "more", textContent: more }) : null,
  );
}
