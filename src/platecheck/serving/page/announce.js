/** What screen readers say when something happens, and the bar at the top. */

import { byId } from "./elements.js";
import { onLanguage } from "./language.js";

const BRIEFLY = 5000; // milliseconds

const messages = new Map(); // by whose they are; the bar shows the last one
onLanguage(() => {
  byId("announcer").textContent = ""; // what was said before was in another language
  show();
});

/** Say it when nothing else is being said. */
export function announce(text) {
  const region = byId("announcer");
  // The same text twice is no change, so it would be said once; a space makes it one.
  region.textContent = region.textContent === text ? `${text}\u00a0` : text;
}

/**
 * Show a message at the top of the page, and say it; null takes away the owner's own, so that one
 * which still holds is seen again.
 *
 * @param {string} owner whose message it is: each has at most one
 * @param {(() => string)|null} text gives it in the language in use
 * @param {(() => HTMLButtonElement)|null} button makes a button beside it
 */
export function notify(owner, text, button = null) {
  messages.delete(owner);
  if (text) messages.set(owner, { text, button });
  show();
  if (text) announce(text());
}

/** Show a message for a few seconds. */
export function notifyBriefly(owner, text) {
  notify(owner, text);
  setTimeout(() => {
    if (messages.get(owner)?.text === text) notify(owner, null);
  }, BRIEFLY);
}

function show() {
  const { text, button } = [...messages.values()].at(-1) ?? {};
  byId("notice").hidden = !text;
  byId("notice-text").textContent = text ? text() : "";
  byId("notice-button").replaceChildren(...(button ? [button()] : []));
}
