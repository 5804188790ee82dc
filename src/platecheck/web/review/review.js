// @ts-check
/** Entry point of the review page: reviewer's name and view selection. */

import { AgreementView } from "./agreement-view.js";
import { byId, make } from "./elements.js";
import {
  currentLanguage,
  LANGUAGES,
  onLanguageChange,
  setLanguage,
  t,
  translate,
} from "./language.js";
import { ReviewView } from "./review-view.js";
import { loadSetting, saveSetting } from "./settings.js";
import { TEXTS } from "./texts.js";

translate();
const review = new ReviewView();
const agreement = new AgreementView();
let reviewer = loadSetting("reviewer") ?? "";

/** Show the view that the URL names. */
function showView() {
  const agreeing = location.hash === "#agreement";
  byId("review-view").hidden = agreeing;
  byId("agreement-view").hidden = !agreeing;
  for (const [link, here] of [
    [byId("to-photos"), !agreeing],
    [byId("to-agreement"), agreeing],
  ]) {
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${t(agreeing ? "viewAgreement" : "viewPhotos")} · platecheck`;
  if (agreeing && reviewer) agreement.open(reviewer);
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
  showView();
}

byId("language").append(
  ...LANGUAGES.map((tag) =>
    make("option", { value: tag, lang: tag, textContent: TEXTS[tag].languageName }),
  ),
);
byId("language").value = currentLanguage();
byId("language").addEventListener("change", ({ target }) => setLanguage(target.value));
byId("reviewer").addEventListener("click", promptForName);
byId("name-dialog").addEventListener("cancel", (event) => {
  if (!reviewer) event.preventDefault(); // decisions need a name
});
byId("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the hash is used for the view
  byId("main").focus();
});
addEventListener("hashchange", showView);
onLanguageChange(() => {
  showReviewer();
  showView();
});
if (reviewer) start(reviewer);
else {
  showView();
  promptForName();
}
