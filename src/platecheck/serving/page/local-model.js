/** Answers photos without the service, with the service's model run in a worker. */

/**
 * Make the model ready; everything is fetched here, so answering needs no network.
 *
 * @param {object} model what GET /v1/model said
 * @param {HeadersInit} headers for fetching the model file, such as the key
 * @returns {Promise<LocalModel>}
 */
export async function loadLocalModel(model, headers = {}) {
  const worker = new Worker(new URL("./local-worker.js", import.meta.url), { type: "module" });
  const ask = conversation(worker);
  try {
    await ask("load", { info: model, headers: Object.fromEntries(new Headers(headers)) });
  } catch (error) {
    worker.terminate();
    throw error;
  }
  return new LocalModel(ask);
}

/** A model that is ready to answer. */
class LocalModel {
  #ask;

  constructor(ask) {
    this.#ask = ask;
  }

  /**
   * Answer one photo, with the fields that the service gives for it.
   *
   * @param {Blob} blob the photo's file
   * @param {{evidence?: boolean}} options whether to show where the dirt is
   * @returns {Promise<object>} an entry of `photos`
   * @throws {Error} in plain words, where the photo cannot be read
   */
  answer(blob, { evidence = false } = {}) {
    return this.#ask("answer", { blob, evidence });
  }
}

/** A function that gives a worker a task and promises its result. */
function conversation(worker) {
  const waiting = new Map();
  let number = 0;
  worker.addEventListener("message", ({ data }) => {
    const { resolve, reject } = waiting.get(data.number);
    waiting.delete(data.number);
    if (data.error === undefined) resolve(data.result);
    else reject(new Error(data.error));
  });
  worker.addEventListener("error", () => {
    for (const { reject } of waiting.values()) {
      reject(new Error("the model cannot be started in this browser"));
    }
    waiting.clear();
  });
  return (task, details) =>
    new Promise((resolve, reject) => {
      number += 1;
      waiting.set(number, { resolve, reject });
      worker.postMessage({ number, task, ...details });
    });
}
