/** The page: its views, who answers, new versions. */

import { notify, notifyBriefly } from "./announce.js";
import { Asker } from "./ask.js";
import { askForKey } from "./dialogs.js";
import { byId, make } from "./elements.js";
import { onLanguage, t, translate } from "./language.js";
import { lookForUpdate, startWorker } from "./offline.js";
import { PhotosView } from "./photos-view.js";
import { SettingsView } from "./settings-view.js";
import { WatchView } from "./watch-view.js";

// What the corner says of who answers, and what the bar below it explains.
const WHERE = {
  connecting: ["connecting", ""],
  service: ["whereService", ""],
  device: ["whereDevice", ""],
  alone: ["whereDevice", "unreachable"],
  nobody: ["whereNobody", "nobody"],
  keyless: ["keyTitle", "keyMissing"],
};

translate();
const ask = new Asker(askForKey);
const photos = new PhotosView(ask, () => (location.hash = "#photos"));
const watch = new WatchView(ask);
const settings = new SettingsView(ask);
let before = ask.where;

/** Show the view that the address names. */
function showView() {
  const watching = location.hash === "#watch";
  if (!watching && watch.isOn) watch.stop();
  byId("photos-view").hidden = watching;
  byId("watch-view").hidden = !watching;
  for (const [link, here] of [
    [byId("to-photos"), !watching],
    [byId("to-watch"), watching],
  ]) {
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${t(watching ? "viewWatch" : "viewPhotos")} · platecheck`;
}

/** Show in the corner who answers. */
function showWhere() {
  byId("where").textContent = t(WHERE[ask.where][0]);
  byId("where").dataset.where = ask.where;
}

/** Explain who answers where that is not as usual. */
function explainWhere() {
  const long = WHERE[ask.where][1];
  if (long) {
    notify("where", () => t(long));
  } else if (["alone", "nobody", "keyless"].includes(before) && ask.where !== "connecting") {
    if (ask.where === "service") notifyBriefly("where", () => t("back"));
    else notify("where", null);
    lookForUpdate(); // a service that comes back may be a new one
  }
  before = ask.where;
}

/** A new version has taken over: show it at once, unless answers would be lost. */
function showNewVersion() {
  if (photos.isEmpty && watch.isEmpty) {
    location.reload();
    return;
  }
  const load = () => location.reload();
  notify(
    "version",
    () => t("newVersion"),
    () => make("button", { type: "button", textContent: t("reload"), on: { click: load } }),
  );
}

/** A camera that is allowed already is watched at once: so #watch can be a kiosk's start page. */
async function watchAtOnce() {
  if (location.hash !== "#watch") return;
  const permission = await navigator.permissions?.query({ name: "camera" }).catch(() => null);
  if (permission?.state === "granted") watch.start();
}

for (const button of document.querySelectorAll("dialog [data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
byId("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names the view
  byId("main").focus();
});
addEventListener("hashchange", showView);
onLanguage(() => {
  showView();
  showWhere();
});
ask.addEventListener("change", () => {
  showWhere();
  explainWhere();
});
showView();
showWhere();
watchAtOnce();
startWorker(showNewVersion)
  .then(() => ask.connected)
  .then(() => settings.keepModelQuietly())
  .catch(() => null); // without a service worker the page works, but not offline
