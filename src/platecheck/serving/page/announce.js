/** What screen readers say when something happens. */

import { byId } from "./elements.js";

const BRIEFLY = 5000; // milliseconds

/** Say it when nothing else is being said. */
export function announce(text) {
  const region = byId("announcer");
  // The same text twice is no change, so it would be said once; a space makes it one.
  region.textContent = region.textContent === text ? `${text}\u00a0` : text;
}

/** Show a message at the top of the page, and say it; an empty one takes it away. */
export function notify(text, button = null) {
  byId("notice").hidden = !text;
  byId("notice-text").textContent = text;
  byId("notice-button").replaceChildren(...(button ? [button] : []));
  if (text) announce(text);
}

/** Show a message for a few seconds. */
export function notifyBriefly(text) {
  notify(text);
  setTimeout(() => {
    if (byId("notice-text").textContent === text) notify("");
  }, BRIEFLY);
}
