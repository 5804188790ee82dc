// @ts-check
/** Translate texts and format numbers, dates and times. */

import { loadSetting, saveSetting } from "./settings.js";
import { TEXTS } from "./texts.js";

export const LANGUAGES = Object.keys(TEXTS);

let language = savedLanguage() ?? browserLanguage();
const listeners = [];

/** Return the language that was chosen on this device, or null. */
function savedLanguage() {
  const tag = loadSetting("language");
  return LANGUAGES.includes(tag) ? tag : null;
}

/** Return the first of the browser's languages that is supported, or English. */
function browserLanguage() {
  const tags = (navigator.languages ?? []).map((tag) => tag.split("-")[0]);
  return tags.find((tag) => LANGUAGES.includes(tag)) ?? LANGUAGES[0];
}

/** @returns {string} tag of the current language */
export function currentLanguage() {
  return language;
}

/** Return the current language with the user's region, which sets the time format. */
function locale() {
  return (navigator.languages ?? []).find((tag) => tag.split("-")[0] === language) ?? language;
}

/**
 * Switch the language and save it.
 *
 * @param {string} tag
 */
export function setLanguage(tag) {
  language = tag;
  saveSetting("language", tag);
  translate();
  listeners.forEach((listener) => listener());
}

/** @param {() => void} listener called when the language has changed */
export function onLanguageChange(listener) {
  listeners.push(listener);
}

/**
 * Translate a text.
 *
 * @param {string} key
 * @param {Record<string, any>} values for the placeholders; `count` also selects the plural form
 * @returns {string}
 */
export function t(key, values = {}) {
  const text = TEXTS[language][key];
  const form = typeof text === "string" ? text : text[pluralForm(values.count)];
  return form.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? number(value) : value;
  });
}

function pluralForm(count) {
  return new Intl.PluralRules(language).select(count);
}

function number(value) {
  return new Intl.NumberFormat(locale()).format(value);
}

/**
 * Format a probability as a percentage: rounded down, never 0 % or 100 %.
 *
 * @param {number} probability
 * @returns {string}
 */
export function percent(probability) {
  if (probability > 0.999) return t("over", { percent: formatPercent(0.999, 1) });
  if (probability < 0.001) return t("under", { percent: formatPercent(0.001, 1) });
  const digits = probability >= 0.99 || probability < 0.01 ? 1 : 0;
  return formatPercent(roundDown(probability, digits + 2), digits);
}

/**
 * Format a threshold as a percentage, rounded up.
 *
 * @param {number} probability
 * @returns {string}
 */
export function formatThreshold(probability) {
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

/**
 * @param {Date} date
 * @param {"short"|"medium"} timeStyle without or with seconds
 * @returns {string} time of day
 */
export function timeOfDay(date, timeStyle = "medium") {
  return new Intl.DateTimeFormat(locale(), { timeStyle }).format(date);
}

/**
 * @param {Date} date
 * @returns {string} date with the month's name
 */
export function day(date) {
  return new Intl.DateTimeFormat(locale(), { dateStyle: "long" }).format(date);
}

/**
 * Compare two texts for sorting, with numbers in numeric order.
 *
 * @param {string} a
 * @param {string} b
 * @returns {number}
 */
export function compareTexts(a, b) {
  return a.localeCompare(b, language, { numeric: true });
}

/**
 * Set the texts named by data-t (content), data-t-label (aria-label) and data-t-title (tooltip).
 *
 * @param {ParentNode} root
 */
export function translate(root = document) {
  document.documentElement.lang = language;
  for (const element of elementsWith("data-t", root)) {
    element.textContent = t(element.dataset.t);
  }
  for (const element of elementsWith("data-t-label", root)) {
    element.setAttribute("aria-label", t(element.dataset.tLabel));
  }
  for (const element of elementsWith("data-t-title", root)) {
    element.title = t(element.dataset.tTitle);
  }
}

/** @returns {NodeListOf<HTMLElement>} */
function elementsWith(attribute, root) {
  return root.querySelectorAll(`[${attribute}]`);
}
