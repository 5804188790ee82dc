/** Who answers: the service, or this device where the service cannot be reached or is not to be. */

import {
  authorization,
  deleteFeedback,
  fetchModel,
  isReady,
  predict,
  Refused,
  sendFeedback,
  Unreachable,
} from "./service.js";
import { remembered, remember } from "./settings.js";

const LOOK_FOR_SERVICE = 4000; // milliseconds
// A service with too much to do is asked again so many times, each after the time that it names.
const TRIES = 10;
const ONCE = 1; // a person waits, and may try again

/** Neither the service nor this device can answer. */
export class NobodyAnswers extends Error {
  /**
   * @param {string} key of the text that says why
   * @param {string} why in English, as a value of that text
   */
  constructor(key, why = "") {
    super(why);
    this.key = key;
  }
}

/**
 * Asks for answers. Fires "change" when `where` or `model` changes.
 *
 * `where` is "connecting", "service", "device" (it is always to answer), "alone" (the service cannot
 * be reached, the device answers), "nobody" (nor can the device) or "keyless" (a key is missing).
 */
export class Asker extends EventTarget {
  where = "connecting";
  model = null;
  #key = remembered("key");
  #local = null;
  #looking = null;
  #askForKey;
  #connecting;

  /** @param {(wrong: boolean) => Promise<string|null>} askForKey asks a person; null: there is none */
  constructor(askForKey) {
    super();
    this.#askForKey = askForKey;
    this.#connecting = this.#connect();
  }

  /** Whether an API key is kept. */
  get hasKey() {
    return Boolean(this.#key);
  }

  /** Headers that the service wants. */
  get headers() {
    return authorization(this.#key);
  }

  /** Whether this device is always to answer. */
  get deviceOnly() {
    return remembered("device") === "always";
  }

  set deviceOnly(always) {
    remember("device", always ? "always" : null);
    this.#connecting = this.#connect();
  }

  /** When the first attempt to reach the service has ended, well or not. */
  get connected() {
    return this.#connecting;
  }

  forgetKey() {
    this.#key = null;
    this.#local = null;
    remember("key", null);
    this.#say(this.where);
  }

  /**
   * Answers for photos, in their order.
   *
   * @param {{name: string, blob: Blob}[]} photos
   * @param {{evidence?: boolean, signal?: AbortSignal, tries?: number, patience?: number}} options
   *   tries: how often a busy service is asked; patience: milliseconds after which a service that
   *   says nothing is taken for unreachable
   * @returns {Promise<{entries: object[], where: "service"|"device"}>}
   * @throws {Refused} the service does not answer this
   * @throws {NobodyAnswers}
   */
  async answer(photos, { evidence = false, signal, tries = TRIES, patience } = {}) {
    if (this.where === "keyless") this.#connecting = this.#connect();
    await this.#connecting;
    signal?.throwIfAborted();
    if (this.where === "keyless") throw new NobodyAnswers("keyMissing");
    if (this.where !== "service") {
      return { entries: await this.#onDevice(photos, evidence, signal), where: "device" };
    }
    try {
      const answer = await this.#patiently(tries, signal, () =>
        predict(photos, { key: this.#key, evidence, signal, patience }),
      );
      if (answer.model !== this.model.id) this.#connecting = this.#connect();
      return { entries: answer.photos, where: "service" };
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      this.#alone();
      return { entries: await this.#onDevice(photos, evidence, signal), where: "device" };
    }
  }

  /** For how many days the service keeps feedback; null where none can be given now. */
  get feedbackDays() {
    const { on, days } = this.model?.feedback ?? {};
    return on && this.where === "service" ? days : null;
  }

  /** Have a photo kept with what is right of it: see sendFeedback. */
  giveFeedback(feedback) {
    return this.#patiently(ONCE, undefined, () => sendFeedback(feedback, this.#key));
  }

  /** Have feedback deleted. */
  deleteFeedback(id) {
    return this.#patiently(ONCE, undefined, () => deleteFeedback(id, this.#key));
  }

  /** Find out what the service says of its model, and so who answers. */
  async #connect() {
    try {
      const { model, kept } = await this.#patiently(TRIES, undefined, () => fetchModel(this.#key));
      if (model.id !== this.model?.id) this.#local = null;
      this.model = model;
      if (this.deviceOnly) this.#say("device");
      else if (kept) this.#alone();
      else this.#say("service");
    } catch (error) {
      if (error instanceof NobodyAnswers) return; // it was said already
      if (!(error instanceof Unreachable || error instanceof Refused)) throw error;
      this.#alone();
    }
  }

  /** Do something with the service; ask for a key, and wait, as the service demands. */
  async #patiently(tries, signal, attempt) {
    for (let busy = 1, wrong = Boolean(this.#key); ;) {
      const key = this.#key;
      try {
        return await attempt();
      } catch (error) {
        if (error.status === 401) {
          if (this.#key === key) this.#key = await this.#newKey(wrong);
          if (!this.#key) {
            this.#say("keyless");
            throw new NobodyAnswers("keyMissing");
          }
          wrong = true;
        } else if (error.status === 503 && busy < tries) {
          busy += 1;
          await pause(error.retryAfter * 1000, signal);
        } else {
          throw error;
        }
      }
    }
  }

  async #newKey(wrong) {
    const key = await this.#askForKey(wrong);
    if (key) remember("key", key);
    return key;
  }

  /** The service cannot be reached: look for it from time to time. */
  #alone() {
    this.#say(this.model && this.where !== "nobody" ? "alone" : "nobody");
    this.#looking ??= setInterval(() => this.#look(), LOOK_FOR_SERVICE);
  }

  async #look() {
    if (!(await isReady()) || this.#looking === null) return;
    clearInterval(this.#looking);
    this.#looking = null;
    this.#connecting = this.#connect();
  }

  async #onDevice(photos, evidence, signal) {
    const local = await this.#loadLocal();
    const entries = [];
    for (const { name, blob } of photos) {
      signal?.throwIfAborted();
      try {
        entries.push({ ...(await local.answer(blob, { evidence })), name });
      } catch (error) {
        entries.push({ name, error: { status: 422, detail: error.message } });
      }
    }
    return entries;
  }

  /** The model on this device; it is fetched when it is first needed. */
  async #loadLocal() {
    const always = this.where === "device";
    if (!this.model) throw new NobodyAnswers("nobody");
    if (!this.model.offline) throw this.#nobody(always ? "offlineNever" : "offlineOff");
    this.#local ??= import("./local-model.js").then(({ loadLocalModel }) =>
      loadLocalModel(this.model, this.headers),
    );
    try {
      const local = await this.#local;
      if (this.where === "nobody") this.#say("alone");
      return local;
    } catch (error) {
      this.#local = null;
      throw this.#nobody(always ? "deviceFailed" : "nobody", error.message);
    }
  }

  /** What to throw; the service cannot be reached, and this device turned out not to answer. */
  #nobody(key, why) {
    if (this.where === "alone") this.#say("nobody");
    return new NobodyAnswers(key, why);
  }

  #say(where) {
    this.where = where;
    this.dispatchEvent(new Event("change"));
  }
}

/** Wait, unless it is stopped. */
function pause(milliseconds, signal) {
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
