// @ts-check
/** Screen reader announcements and the notice bar at the top. */

import { byId } from "./elements.js";
import { onLanguageChange } from "./language.js";

const BRIEF_DURATION = 5000; // milliseconds

const messages = new Map(); // by owner; the bar shows the latest
onLanguageChange(() => {
  byId("announcer").textContent = ""; // the previous announcement is in another language
  show();
});

/**
 * Announce a text to screen readers.
 *
 * @param {string} text
 */
export function announce(text) {
  const region = byId("announcer");
  // A repeated text is no change and would not be announced; alternate a trailing space.
  region.textContent = region.textContent === text ? `${text}\u00a0` : text;
}

/**
 * Show and announce a message at the top of the page.
 *
 * @param {string} owner has at most one message
 * @param {(() => string)|null} text returns the translated message; null removes the owner's
 * @param {(() => HTMLButtonElement)|null} button creates a button beside it
 */
export function notify(owner, text, button = null) {
  messages.delete(owner);
  if (text) messages.set(owner, { text, button });
  show();
  if (text) announce(text());
}

/**
 * Show a message for a few seconds.
 *
 * @param {string} owner
 * @param {() => string} text
 */
export function notifyBriefly(owner, text) {
  notify(owner, text);
  setTimeout(() => {
    if (messages.get(owner)?.text === text) notify(owner, null);
  }, BRIEF_DURATION);
}

function show() {
  const { text, button } = [...messages.values()].at(-1) ?? {};
  byId("notice").hidden = !text;
  byId("notice-text").textContent = text ? text() : "";
  byId("notice-button").replaceChildren(...(button ? [button()] : []));
}
