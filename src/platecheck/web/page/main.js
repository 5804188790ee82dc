// @ts-check
/** Entry point: create the views, show the connection status, handle new versions. */

import { notify, notifyBriefly } from "./announce.js";
import { promptForKey } from "./dialogs.js";
import { byId, make } from "./elements.js";
import { InferenceClient } from "./inference-client.js";
import { onLanguageChange, t } from "./language.js";
import { checkForUpdate, registerWorker } from "./offline.js";
import { PhotosView } from "./photos-view.js";
import { SettingsView } from "./settings-view.js";
import { ShiftView } from "./shift-view.js";
import { initialize, showView } from "./shell.js";
import { WatchView } from "./watch-view.js";

// For each status the text in the corner and, if it needs explaining, that of the notice.
const STATUS_TEXTS = {
  connecting: ["connecting", ""],
  service: ["statusService", ""],
  device: ["statusDevice", ""],
  offline: ["statusDevice", "offline"],
  unavailable: ["statusUnavailable", "unavailable"],
  unauthorized: ["keyTitle", "unauthorized"],
};

initialize();
const client = new InferenceClient(promptForKey);
const photos = new PhotosView(client);
const watch = new WatchView(client);
const shift = new ShiftView();
const settings = new SettingsView(client);
let previous = client.status;

function show() {
  const view = showView(["photos", "watch", "shift"]);
  if (view !== "watch" && watch.isOn) watch.stop();
  shift.refresh();
}

function showStatus() {
  byId("status").textContent = t(STATUS_TEXTS[client.status][0]);
  byId("status").dataset.status = client.status;
}

/** Explain a status that limits the page, and say when it is over. */
function explainStatus() {
  const explanation = STATUS_TEXTS[client.status][1];
  const wasLimited = STATUS_TEXTS[previous][1] !== "";
  if (explanation) {
    notify("status", () => t(explanation));
  } else if (wasLimited && client.status !== "connecting") {
    if (client.status === "service") notifyBriefly("status", () => t("back"));
    else notify("status", null);
    checkForUpdate(); // the service may have been updated while it was down
  }
  previous = client.status;
}

/** Load a new version at once, unless that would lose predictions. */
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

/** Start watching if the camera is allowed already, so that #watch can be a start page. */
async function watchAtOnce() {
  if (location.hash !== "#watch") return;
  const permission = await navigator.permissions?.query({ name: "camera" }).catch(() => null);
  if (permission?.state === "granted") watch.start();
}

for (const button of document.querySelectorAll("dialog [data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
addEventListener("hashchange", show);
onLanguageChange(() => {
  show();
  showStatus();
});
client.addEventListener("change", () => {
  showStatus();
  explainStatus();
});
show();
showStatus();
watchAtOnce();
registerWorker(showNewVersion)
  .then(() => client.connected)
  .then(() => settings.cacheModelInBackground())
  .catch(() => null); // without a service worker the page works, but not offline
