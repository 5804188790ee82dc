/** Small dialogs that ask one thing. Each resolves to null when it is left without an answer. */

import { byId } from "./elements.js";

let open = null;

/**
 * Ask for an API key. All who ask at the same time wait for the same answer.
 *
 * @param {boolean} wrong whether a key was refused just now
 * @returns {Promise<string|null>}
 */
export function askForKey(wrong) {
  open ??= showForKey(wrong).finally(() => (open = null));
  return open;
}

async function showForKey(wrong) {
  const input = byId("key-input");
  input.value = "";
  byId("key-wrong").hidden = !wrong;
  input.setAttribute("aria-invalid", String(wrong));
  const used = await result(byId("key-dialog"));
  return used ? input.value.trim() || null : null;
}

/** Ask whether to go on with something. */
export async function confirm(title, text, action) {
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = action;
  return result(byId("confirm-dialog"));
}

/** Open a dialog with a form and wait: true when the form was sent. */
function result(dialog) {
  const form = dialog.querySelector("form");
  return new Promise((resolve) => {
    let sent = false;
    form.onsubmit = (event) => {
      event.preventDefault(); // the page's policy lets no form go anywhere
      sent = true;
      dialog.close();
    };
    dialog.onclose = () => resolve(sent);
    dialog.showModal();
  });
}
