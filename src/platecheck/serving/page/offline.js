/** The service worker: keeping the page and the model on this device, and new versions of both. */

let available = "serviceWorker" in navigator;

/** Whether this browser can keep pages here: over HTTPS and on localhost. */
export function canKeep() {
  return available;
}

/**
 * Start the service worker.
 *
 * @param {() => void} onUpdate called when a new version has taken over from the one shown
 */
export async function startWorker(onUpdate) {
  if (!available) return;
  let had = Boolean(navigator.serviceWorker.controller);
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    if (had) onUpdate(); // the first worker changes nothing
    had = true;
  });
  const registration = await navigator.serviceWorker
    .register("/sw.js", { updateViaCache: "none" })
    .catch((error) => {
      available = false; // such as with a certificate that is not trusted
      throw error;
    });
  const takeOver = () => registration.waiting?.postMessage({ command: "take over" });
  takeOver();
  registration.addEventListener("updatefound", () => {
    registration.installing.addEventListener("statechange", takeOver);
  });
}

/** Look for a new version, as after the service was reached again. */
export async function lookForUpdate() {
  const registration = await navigator.serviceWorker?.getRegistration();
  await registration?.update().catch(() => null); // not reached after all
}

/** Whether the model is on this device. */
export function isModelKept() {
  return tell("is kept");
}

/** Keep the model on this device. */
export function keepModel(headers) {
  return tell("keep", headers);
}

/** Keep it no longer. */
export function forgetModel() {
  return tell("forget");
}

/** Give the service worker a command and wait for what comes of it. */
async function tell(command, headers = {}) {
  if (!available) return false;
  const { active } = await navigator.serviceWorker.ready;
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve, reject) => {
    port1.onmessage = ({ data }) =>
      data.error === undefined ? resolve(data.result) : reject(new Error(data.error));
    active.postMessage({ command, headers }, [port2]);
  });
}
