// @ts-check
/** Entry point of the review page: reviewer's name and view selection. */

import { AgreementView } from "./agreement-view.js";
import { byId } from "./elements.js";
import { onLanguageChange, t } from "./language.js";
import { ReviewView } from "./review-view.js";
import { loadSetting, saveSetting } from "./settings.js";
import { initialize, showView } from "./shell.js";

initialize();
const review = new ReviewView();
const agreement = new AgreementView();
let reviewer = loadSetting("reviewer") ?? "";

function show() {
  const view = showView(["review", "agreement"]);
  if (view === "agreement" && reviewer) agreement.open(reviewer);
}

/** Show the name on the button that changes it. */
function showReviewer() {
  const button = byId("reviewer");
  button.hidden = !reviewer;
  button.textContent = reviewer;
  button.setAttribute("aria-label", `${reviewer}: ${t("changeName")}`);
}

/** Prompt for the reviewer's name and start. */
function promptForName() {
  const dialog = byId("name-dialog");
  byId("name-input").value = reviewer;
  dialog.querySelector("form").onsubmit = (event) => {
    event.preventDefault(); // the CSP forbids form submission
    const name = byId("name-input").value.trim();
    if (!name) return;
    dialog.close();
    start(name);
  };
  dialog.showModal();
}

/** Start reviewing under a name. */
function start(name) {
  reviewer = name;
  saveSetting("reviewer", name);
  showReviewer();
  review.start(name);
  show();
}

byId("reviewer").addEventListener("click", promptForName);
byId("name-dialog").addEventListener("cancel", (event) => {
  if (!reviewer) event.preventDefault(); // decisions need a name
});
addEventListener("hashchange", show);
onLanguageChange(() => {
  showReviewer();
  show();
});
if (reviewer) start(reviewer);
else {
  show();
  promptForName();
}
