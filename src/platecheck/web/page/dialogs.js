// @ts-check
/** Modal dialogs for a key and for confirmation. */

import { byId } from "./elements.js";

let open = null;

/**
 * Prompt for an API key. Concurrent calls share one dialog.
 *
 * @param {boolean} wrong whether a key has just been rejected
 * @returns {Promise<string|null>} null if cancelled
 */
export function promptForKey(wrong) {
  open ??= showKeyDialog(wrong).finally(() => (open = null));
  return open;
}

async function showKeyDialog(wrong) {
  const input = byId("key-input");
  input.value = "";
  byId("key-wrong").hidden = !wrong;
  input.setAttribute("aria-invalid", String(wrong));
  const submitted = await show(byId("key-dialog"));
  return submitted ? input.value.trim() || null : null;
}

/**
 * Ask for confirmation.
 *
 * @param {string} title
 * @param {string} text
 * @param {string} action label of the confirming button
 * @returns {Promise<boolean>}
 */
export async function confirm(title, text, action) {
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = action;
  return show(byId("confirm-dialog"));
}

/** Show a dialog; resolve to whether its form was submitted. */
function show(dialog) {
  const form = dialog.querySelector("form");
  return new Promise((resolve) => {
    let submitted = false;
    form.onsubmit = (event) => {
      event.preventDefault(); // the CSP forbids form submission
      submitted = true;
      dialog.close();
    };
    dialog.onclose = () => resolve(submitted);
    dialog.showModal();
  });
}
