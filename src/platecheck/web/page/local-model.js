// @ts-check
/** Inspect photos on this device with the service's models, in a worker. */

/**
 * Load the models. All files are fetched here, so inspecting needs no network.
 *
 * @param {object} model response of GET /v1/model
 * @param {HeadersInit} headers for fetching the model files, such as the API key
 * @returns {Promise<{inspect: (blob: Blob, options?: {heatmap?: boolean}) => Promise<object>}>}
 *   inspect returns an item of `photos` in the service's response, with heatmaps if `heatmap`;
 *   if the photo cannot be read, it throws an error whose message is for users
 */
export async function loadLocalModels(model, headers = {}) {
  const worker = new Worker(new URL("./local-worker.js", import.meta.url), { type: "module" });
  const call = createCaller(worker);
  try {
    await call("load", { info: model, headers: Object.fromEntries(new Headers(headers)) });
  } catch (error) {
    worker.terminate();
    throw error;
  }
  return { inspect: (blob, { heatmap = false } = {}) => call("inspect", { blob, heatmap }) };
}

/** Return a function that sends a task to a worker and resolves to its result. */
function createCaller(worker) {
  const pending = new Map();
  let number = 0;
  worker.addEventListener("message", ({ data }) => {
    const { resolve, reject } = pending.get(data.number);
    pending.delete(data.number);
    if (data.error === undefined) resolve(data.result);
    else reject(new Error(data.error));
  });
  worker.addEventListener("error", () => {
    for (const { reject } of pending.values()) {
      reject(new Error("the model cannot be started in this browser"));
    }
    pending.clear();
  });
  return (task, details) =>
    new Promise((resolve, reject) => {
      number += 1;
      pending.set(number, { resolve, reject });
      worker.postMessage({ number, task, ...details });
    });
}
