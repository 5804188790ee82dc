// @ts-check
/** What both pages have: icons, views, a skip link and a choice of language. */

import { byId, make } from "./elements.js";
import { currentLanguage, LANGUAGES, onLanguageChange, setLanguage, translate } from "./language.js";
import { TEXTS } from "./texts.js";

/** Translate the page, insert its icons, and connect the skip link and the choice of language. */
export function initialize() {
  translate();
  insertSprite().catch(() => null); // every icon has a text beside it
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the hash is used for the view
    byId("main").focus();
  });
  const select = byId("language");
  select.append(
    ...LANGUAGES.map((tag) =>
      make("option", { value: tag, lang: tag, textContent: TEXTS[tag].languageName }),
    ),
  );
  select.value = currentLanguage();
  select.addEventListener("change", () => setLanguage(select.value));
  onLanguageChange(() => (select.value = currentLanguage()));
}

/** Insert the sprite once; references to a file of its own would be fetched again and again. */
async function insertSprite() {
  const response = await fetch(new URL("sprite.svg", import.meta.url));
  document.body.insertAdjacentHTML("afterbegin", await response.text());
}

/**
 * Show the view that the URL's hash names, and hide the others.
 *
 * @param {string[]} names of all views; the first is shown by default
 * @returns {string} name of the view shown
 */
export function showView(names) {
  const shown = names.find((name) => location.hash === `#${name}`) ?? names[0];
  for (const name of names) {
    byId(`${name}-view`).hidden = name !== shown;
    if (name === shown) byId(`to-${name}`).setAttribute("aria-current", "page");
    else byId(`to-${name}`).removeAttribute("aria-current");
  }
  document.title = `${byId(`to-${shown}`).textContent} · platecheck`;
  return shown;
}
