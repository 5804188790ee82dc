/** The language of the page: texts, plural forms, numbers and times. */

import { remembered, remember } from "./settings.js";
import { REASONS, TEXTS } from "./texts.js";

const SAVE_AS = "save the picture as JPEG or PNG";

export const LANGUAGES = Object.keys(TEXTS);

let language = chosen() ?? preferred();
const listeners = [];

/** The language that was chosen on this device. */
function chosen() {
  const found = remembered("language");
  return LANGUAGES.includes(found) ? found : null;
}

/** The first of the browser's languages that there are texts in. */
function preferred() {
  const wanted = (navigator.languages ?? []).map((tag) => tag.split("-")[0]);
  return wanted.find((tag) => LANGUAGES.includes(tag)) ?? LANGUAGES[0];
}

/** The tag of the language in use. */
export function currentLanguage() {
  return language;
}

/** The language with the person's country, which decides how times are written. */
function locale() {
  return (navigator.languages ?? []).find((tag) => tag.split("-")[0] === language) ?? language;
}

/** Use a language, and remember it. */
export function setLanguage(tag) {
  language = tag;
  remember("language", tag);
  translate();
  listeners.forEach((listener) => listener());
}

/** Call a function whenever the language changes. */
export function onLanguage(listener) {
  listeners.push(listener);
}

/** A text in the language in use; values.count chooses the plural form. */
export function t(key, values = {}) {
  const text = TEXTS[language][key];
  const form = typeof text === "string" ? text : text[pluralForm(values.count)];
  return form.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? number(value) : value;
  });
}

/** "one", "few", "many" or "other". */
function pluralForm(count) {
  return new Intl.PluralRules(language).select(count);
}

/** Why a photo has no answer, in the language in use where its words are known. */
export function reason(english) {
  if (english in REASONS) return t(REASONS[english]);
  // What kind of file it is has English words only; what to do about it is the same for all.
  return language !== "en" && english.endsWith(SAVE_AS) ? t("otherFormat") : english;
}

/** A whole number, its digits grouped. */
function number(value) {
  return new Intl.NumberFormat(locale()).format(value);
}

/**
 * A probability as a percentage that never promises more than it is: rounded down, and neither 0 %
 * nor 100 % is ever said.
 */
export function percent(probability) {
  if (probability > 0.999) return t("over", { percent: formatPercent(0.999, 1) });
  if (probability < 0.001) return t("under", { percent: formatPercent(0.001, 1) });
  const digits = probability >= 0.99 || probability < 0.01 ? 1 : 0;
  return formatPercent(roundDown(probability, digits + 2), digits);
}

/** A probability that is needed, rounded up. */
export function percentNeeded(probability) {
  return formatPercent(-roundDown(-probability, 2), 0);
}

function roundDown(value, digits) {
  const scale = 10 ** digits;
  return Math.floor(value * scale + 1e-9) / scale; // 0.29 * 100 is 28.999…
}

function formatPercent(value, digits) {
  return new Intl.NumberFormat(locale(), {
    style: "percent",
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(value);
}

/** A time of day. */
export function timeOfDay(date) {
  return new Intl.DateTimeFormat(locale(), { timeStyle: "medium" }).format(date);
}

/** A day, its month in words. */
export function day(date) {
  return new Intl.DateTimeFormat(locale(), { dateStyle: "long" }).format(date);
}

/** Compare two texts for sorting; numbers in names count as numbers. */
export function compareTexts(a, b) {
  return a.localeCompare(b, language, { numeric: true });
}

/**
 * Fill in the texts of the page: data-t is an element's text, data-t-label its name for screen
 * readers, data-t-title its tooltip.
 */
export function translate(root = document) {
  document.documentElement.lang = language;
  for (const element of root.querySelectorAll("[data-t]")) {
    element.textContent = t(element.dataset.t);
  }
  for (const element of root.querySelectorAll("[data-t-label]")) {
    element.setAttribute("aria-label", t(element.dataset.tLabel));
  }
  for (const element of root.querySelectorAll("[data-t-title]")) {
    element.title = t(element.dataset.tTitle);
  }
}
