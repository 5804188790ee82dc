// @ts-check
/** Register the service worker, which caches the page and the model and updates both. */

let available = "serviceWorker" in navigator;

/** @returns {boolean} whether this browser can cache the page, as over HTTPS and on localhost */
export function canCache() {
  return available;
}

/**
 * Register the service worker.
 *
 * @param {() => void} onUpdate called when a new version has taken over
 */
export async function registerWorker(onUpdate) {
  if (!available) return;
  let controlled = Boolean(navigator.serviceWorker.controller);
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    if (controlled) onUpdate(); // the first worker is no update
    controlled = true;
  });
  const registration = await navigator.serviceWorker
    .register(new URL("../sw.js", import.meta.url), { updateViaCache: "none" })
    .catch((error) => {
      available = false; // such as an untrusted certificate
      throw error;
    });
  const takeOver = () => registration.waiting?.postMessage({ command: "take over" });
  takeOver();
  registration.addEventListener("updatefound", () => {
    registration.installing.addEventListener("statechange", takeOver);
  });
}

/** Check for a new version, such as when the service is back. */
export async function checkForUpdate() {
  const registration = await navigator.serviceWorker?.getRegistration();
  await registration?.update().catch(() => null); // unreachable after all
}

/** @returns {Promise<boolean>} whether the model is saved on this device */
export function isModelCached() {
  return send("is kept");
}

/**
 * Save the model on this device.
 *
 * @param {Record<string, string>} headers authorization
 * @returns {Promise<boolean>} whether service workers are available
 */
export function cacheModel(headers) {
  return send("keep", headers);
}

/** Delete the model from this device. */
export function deleteModel() {
  return send("forget");
}

/** Send the service worker a command and wait for its result. */
async function send(command, headers = {}) {
  if (!available) return false;
  const { active } = await navigator.serviceWorker.ready;
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve, reject) => {
    port1.onmessage = ({ data }) =>
      data.error === undefined ? resolve(data.result) : reject(new Error(data.error));
    active.postMessage({ command, headers }, [port2]);
  });
}
