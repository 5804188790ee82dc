/** What screen readers say when something happens. */

import { byId } from "./elements.js";

/** Say it when nothing else is being said. */
export function announce(text) {
  const region = byId("announcer");
  // The same text twice is no change, so it would be said once; a space makes it one.
  region.textContent = region.textContent === text ? `${text}\u00a0` : text;
}

/** Show a message at the top of the page, and say it; an empty one takes it away. */
export function notify(text, button = null) {
  const bar = byId("notice");
  bar.hidden = !text;
  byId("notice-text").textContent = text;
  const place = byId("notice-button");
  place.replaceChildren(...(button ? [button] : []));
}
