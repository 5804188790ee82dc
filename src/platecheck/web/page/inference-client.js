// @ts-check
/** Inspect photos with the service, or with the models on this device when it is unreachable. */

import { readInspection, readPrediction } from "./inspection.js";
import {
  ask,
  authorization,
  deleteFeedback,
  fetchModel,
  isReady,
  sendFeedback,
  ServiceError,
  UnreachableError,
} from "./service.js";
import { loadSetting, saveSetting } from "./settings.js";

const RETRY_INTERVAL = 4000; // milliseconds between checks whether the service is back
// How often a busy service is tried, each time after the delay that it asks for.
const ATTEMPTS = 10;
const ONE_ATTEMPT = 1; // for actions that the user can repeat

/** Neither the service nor this device can classify photos. */
export class UnavailableError extends Error {
  /**
   * @param {string} key key of the text that gives the reason
   * @param {string} reason English, the value of that text's placeholder
   */
  constructor(key, reason = "") {
    super(reason);
    this.key = key;
  }
}

/**
 * Client for the service with a fallback to the model on this device. Dispatches "change" when
 * `status` or `model` changes.
 *
 * `status` is "connecting", "service", "device" (always on this device), "offline" (service
 * unreachable, this device takes over), "unavailable" (neither works) or "unauthorized" (no API
 * key).
 */
export class InferenceClient extends EventTarget {
  status = "connecting";
  model = null;
  #key = loadSetting("key");
  #local = null;
  #polling = null;
  #promptForKey;
  #connecting;
  #canInspect = true; // false once the service has turned out to have no such route

  /** @param {(wrong: boolean) => Promise<string|null>} promptForKey null: cancelled */
  constructor(promptForKey) {
    super();
    this.#promptForKey = promptForKey;
    this.#connecting = this.#connect();
  }

  /** Whether an API key is stored. */
  get hasKey() {
    return Boolean(this.#key);
  }

  /** Headers that authorize requests to the service. */
  get headers() {
    return authorization(this.#key);
  }

  /** Whether photos are always classified on this device. */
  get deviceOnly() {
    return loadSetting("device") === "always";
  }

  set deviceOnly(always) {
    saveSetting("device", always ? "always" : null);
    this.#connecting = this.#connect();
  }

  /** Promise that resolves after the first connection attempt, successful or not. */
  get connected() {
    return this.#connecting;
  }

  forgetKey() {
    this.#key = null;
    this.#local = null;
    saveSetting("key", null);
    this.#setStatus(this.status);
  }

  /**
   * Inspect photos.
   *
   * @param {{name: string, blob: Blob}[]} photos
   * @param {{heatmap?: boolean, signal?: AbortSignal, attempts?: number, timeout?: number}} options
   *   heatmap: of each dish; attempts: how often to try a busy service; timeout: milliseconds
   *   without a response after which the service counts as unreachable
   * @returns {Promise<{inspections: import("./inspection.js").Inspection[],
   *   source: string}>} in the photos' order; source: "service" or "device"
   * @throws {ServiceError} if the service rejects the request
   * @throws {UnavailableError}
   */
  async inspect(photos, { heatmap = false, signal, attempts = ATTEMPTS, timeout } = {}) {
    if (this.status === "unauthorized") this.#connecting = this.#connect();
    await this.#connecting;
    signal?.throwIfAborted();
    if (this.status === "unauthorized") throw new UnavailableError("unauthorized");
    if (this.status !== "service") return this.#inspectLocally(photos, heatmap, signal);
    try {
      const inspections = await this.#withRetries(attempts, signal, () =>
        this.#ask(photos, { key: this.#key, heatmap, signal, timeout }),
      );
      return { inspections, source: "service" };
    } catch (error) {
      if (!(error instanceof UnreachableError)) throw error;
      this.#goOffline();
      return this.#inspectLocally(photos, heatmap, signal);
    }
  }

  /** Ask the service to inspect photos, or one that cannot to classify them. */
  async #ask(photos, options) {
    const route = this.#canInspect ? "inspect" : "predict";
    let response;
    try {
      response = await ask(route, photos, options);
    } catch (error) {
      if (route !== "inspect" || error.status !== 404) throw error;
      this.#canInspect = false;
      return this.#ask(photos, options);
    }
    const { id, detector } = this.model;
    const finder = response.detector ?? detector?.id; // predict names none
    if (response.model !== id || finder !== detector?.id) this.#connecting = this.#connect();
    return response.photos.map(route === "inspect" ? readInspection : readPrediction);
  }

  /** Days for which the service keeps feedback; null if it accepts none now. */
  get feedbackDays() {
    const { on, days } = this.model?.feedback ?? {};
    return on && this.status === "service" ? days : null;
  }

  /** Send a photo with its true label; see sendFeedback in service.js. */
  sendFeedback(feedback) {
    return this.#withRetries(ONE_ATTEMPT, undefined, () => sendFeedback(feedback, this.#key));
  }

  /** @param {string} id */
  deleteFeedback(id) {
    return this.#withRetries(ONE_ATTEMPT, undefined, () => deleteFeedback(id, this.#key));
  }

  /** Fetch the model's description and set the status accordingly. */
  async #connect() {
    try {
      const { model, cached } = await this.#withRetries(ATTEMPTS, undefined, () =>
        fetchModel(this.#key),
      );
      const ids = [model, this.model].map((each) => [each?.id, each?.detector?.id].join());
      if (ids[0] !== ids[1]) this.#local = null;
      this.model = model;
      this.#canInspect = true;
      if (this.deviceOnly) this.#setStatus("device");
      else if (cached) this.#goOffline();
      else this.#setStatus("service");
    } catch (error) {
      if (error instanceof UnavailableError) return; // the status is set already
      if (!(error instanceof UnreachableError || error instanceof ServiceError)) throw error;
      this.#goOffline();
    }
  }

  /** Send a request; prompt for a missing key and retry while the service is busy. */
  async #withRetries(attempts, signal, send) {
    for (let attempt = 1, wrong = Boolean(this.#key); ;) {
      const key = this.#key;
      try {
        return await send();
      } catch (error) {
        if (error.status === 401) {
          if (this.#key === key) this.#key = await this.#newKey(wrong);
          if (!this.#key) {
            this.#setStatus("unauthorized");
            throw new UnavailableError("unauthorized");
          }
          wrong = true;
        } else if (error.status === 503 && attempt < attempts) {
          attempt += 1;
          await delay(error.retryAfter * 1000, signal);
        } else {
          throw error;
        }
      }
    }
  }

  async #newKey(wrong) {
    const key = await this.#promptForKey(wrong);
    if (key) saveSetting("key", key);
    return key;
  }

  /** Mark the service as unreachable and poll until it is back. */
  #goOffline() {
    this.#setStatus(this.model && this.status !== "unavailable" ? "offline" : "unavailable");
    this.#polling ??= setInterval(() => this.#poll(), RETRY_INTERVAL);
  }

  async #poll() {
    if (!(await isReady()) || this.#polling === null) return;
    clearInterval(this.#polling);
    this.#polling = null;
    this.#connecting = this.#connect();
  }

  async #inspectLocally(photos, heatmap, signal) {
    const local = await this.#loadLocal();
    const answers = [];
    for (const { name, blob } of photos) {
      signal?.throwIfAborted();
      try {
        answers.push({ ...(await local.inspect(blob, { heatmap })), name });
      } catch (error) {
        answers.push({ name, error: { status: 422, detail: error.message } });
      }
    }
    return { inspections: answers.map(readInspection), source: "device" };
  }

  /** Return the models on this device, loading it on first use. */
  async #loadLocal() {
    const always = this.status === "device";
    if (!this.model) throw new UnavailableError("unavailable");
    if (!this.model.offline) throw this.#unavailable(always ? "offlineNever" : "offlineOff");
    this.#local ??= import("./local-model.js").then(({ loadLocalModels }) =>
      loadLocalModels(this.model, this.headers),
    );
    try {
      const local = await this.#local;
      if (this.status === "unavailable") this.#setStatus("offline");
      return local;
    } catch (error) {
      this.#local = null;
      throw this.#unavailable(always ? "deviceFailed" : "unavailable", error.message);
    }
  }

  /** Create the error to throw when this device cannot take over from the service. */
  #unavailable(key, reason) {
    if (this.status === "offline") this.#setStatus("unavailable");
    return new UnavailableError(key, reason);
  }

  #setStatus(status) {
    this.status = status;
    this.dispatchEvent(new Event("change"));
  }
}

/** Resolve after a delay; reject if the signal aborts first. */
function delay(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", done);
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      if (signal?.aborted) reject(signal.reason);
      else resolve();
    }
  });
}
