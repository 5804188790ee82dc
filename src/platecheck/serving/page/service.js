/** The service's HTTP interface. */

// A service that has not begun to answer after so many milliseconds is taken for unreachable.
const PATIENCE_MODEL = 8000;
const PATIENCE_PHOTOS = 40000; // the service itself gives up after 30 seconds

/** The service cannot be reached: no network, stopped, or a proxy that finds nothing behind it. */
export class Unreachable extends Error {}

/** The service answers, but not with what was asked for. */
export class Refused extends Error {
  /**
   * @param {number} status of HTTP
   * @param {string} detail in English
   * @param {number} retryAfter seconds, where the service says so
   */
  constructor(status, detail, retryAfter) {
    super(detail);
    this.detail = detail;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Headers that carry the API key. */
export function authorization(key) {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/**
 * What the service says of its model and its limits.
 *
 * @returns {Promise<{model: object, kept: boolean}>} kept: it is a copy that the service worker
 *   kept, since the service cannot be reached
 */
export async function fetchModel(key) {
  const response = await request("/v1/model", {
    headers: authorization(key),
    patience: PATIENCE_MODEL,
  });
  return { model: await response.json(), kept: response.headers.has("X-Platecheck-Kept") };
}

/**
 * Answers for photos, in their order.
 *
 * @param {{name: string, blob: Blob}[]} photos
 */
export async function predict(photos, { key, evidence, signal, patience = PATIENCE_PHOTOS }) {
  const form = new FormData();
  for (const { name, blob } of photos) form.append("photos", blob, name);
  const response = await request(`/v1/predict?evidence=${evidence}`, {
    method: "POST",
    body: form,
    headers: authorization(key),
    signal,
    patience,
  });
  const answer = await response.json().catch(() => {
    throw new Unreachable("the answer broke off");
  });
  signal?.throwIfAborted();
  return answer;
}

/**
 * Have a photo kept with what is right of it; the person has agreed.
 *
 * @param {{name: string, blob: Blob}} photo
 * @param {string} right a class of the model, or "not a dish"
 * @param {object|null} answer what this device said of it, where the service did not answer
 * @returns {Promise<{id: string, right: string, expires: string}>} expires: ISO 8601
 */
export async function sendFeedback({ photo, right, answer }, key) {
  const form = new FormData();
  form.append("photo", photo.blob, photo.name);
  form.append("right", right);
  form.append("consent", "true");
  if (answer) form.append("answer", JSON.stringify(answer));
  const response = await request("/v1/feedback", {
    method: "POST",
    body: form,
    headers: authorization(key),
    patience: PATIENCE_PHOTOS,
  });
  return response.json().catch(() => {
    throw new Unreachable("the answer broke off");
  });
}

/** Have feedback deleted; it may have been already. */
export async function deleteFeedback(id, key) {
  try {
    await request(`/v1/feedback/${id}`, {
      method: "DELETE",
      headers: authorization(key),
      patience: PATIENCE_MODEL,
    });
  } catch (error) {
    if (error.status !== 404) throw error;
  }
}

/** Whether the service takes photos now. */
export async function isReady() {
  try {
    await request("/readyz", { patience: PATIENCE_MODEL });
    return true;
  } catch {
    return false;
  }
}

/** Fetch, with every way to fail turned into one of the errors above, or the signal's own. */
async function request(path, { signal, patience, ...options }) {
  const controller = new AbortController(); // AbortSignal.any is too new for many phones
  const stop = () => controller.abort();
  const timer = setTimeout(stop, patience);
  signal?.addEventListener("abort", stop);
  let response;
  try {
    response = await fetch(path, { ...options, cache: "no-store", signal: controller.signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw new Unreachable(error.message);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
  if (response.ok) return response;
  if (response.status === 502 || response.status === 504) {
    throw new Unreachable("a proxy finds no service");
  }
  const problem = await response.json().catch(() => ({}));
  const seconds = Number(response.headers.get("Retry-After"));
  throw new Refused(response.status, problem.detail ?? "", seconds > 0 ? seconds : 1);
}
