// @ts-check
/** HTTP client of the service. */

// The folder that the page is served from, which a proxy may choose.
const ROOT = new URL("../", import.meta.url);
// Milliseconds without a response after which the service counts as unreachable.
const MODEL_TIMEOUT = 8000;
const PREDICT_TIMEOUT = 40000; // longer than the service's own timeout of 30 s

/** The service is unreachable: no network, not running, or a proxy without an upstream. */
export class UnreachableError extends Error {}

/** The service responded with an error. */
export class ServiceError extends Error {
  /**
   * @param {number} status HTTP status code
   * @param {string} detail English message
   * @param {number} retryAfter seconds to wait before retrying
   */
  constructor(status, detail, retryAfter = 1) {
    super(detail);
    this.detail = detail;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/**
 * @param {string|null} key API key
 * @returns {Record<string, string>} request headers
 */
export function authorization(key) {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/**
 * Fetch the description of the model and the service's limits.
 *
 * @param {string|null} key API key
 * @returns {Promise<{model: object, cached: boolean}>} cached: the service is unreachable and the
 *   service worker returned its copy
 */
export async function fetchModel(key) {
  const response = await request("v1/model", {
    headers: authorization(key),
    timeout: MODEL_TIMEOUT,
  });
  return { model: await response.json(), cached: response.headers.has("X-Platecheck-Kept") };
}

/**
 * Inspect photos, or classify them: "inspect" finds every dish, "predict" takes a photo for one.
 *
 * @param {"inspect"|"predict"} route
 * @param {{name: string, blob: Blob}[]} photos
 * @param {{key: string|null, heatmap: boolean, signal?: AbortSignal, timeout?: number}} options
 * @returns {Promise<{model: string, detector?: string, photos: object[]}>} photos: answers in the
 *   photos' order; detector: of "inspect"
 */
export async function ask(route, photos, { key, heatmap, signal, timeout = PREDICT_TIMEOUT }) {
  const form = new FormData();
  for (const { name, blob } of photos) form.append("photos", blob, name);
  const query = route === "inspect" ? "heatmap" : "evidence";
  const response = await request(`v1/${route}?${query}=${heatmap}`, {
    method: "POST",
    body: form,
    headers: authorization(key),
    signal,
    timeout,
  });
  const body = await response.json().catch(() => {
    throw new UnreachableError("the response was cut off");
  });
  signal?.throwIfAborted();
  return body;
}

/**
 * Send a photo with its true label, after the user has consented.
 *
 * @param {{photo: {name: string, blob: Blob}, trueLabel: string, prediction: object|null}} feedback
 *   trueLabel: a class of the model or "not a dish"; prediction: made on this device, otherwise null
 * @param {string|null} key API key
 * @returns {Promise<{id: string, right: string, expires: string}>} expires: ISO 8601
 */
export async function sendFeedback({ photo, trueLabel, prediction }, key) {
  const form = new FormData();
  form.append("photo", photo.blob, photo.name);
  form.append("right", trueLabel);
  form.append("consent", "true");
  if (prediction) form.append("answer", JSON.stringify(prediction));
  const response = await request("v1/feedback", {
    method: "POST",
    body: form,
    headers: authorization(key),
    timeout: PREDICT_TIMEOUT,
  });
  return response.json().catch(() => {
    throw new UnreachableError("the response was cut off");
  });
}

/**
 * Delete feedback. Feedback that is gone already is not an error.
 *
 * @param {string} id
 * @param {string|null} key API key
 */
export async function deleteFeedback(id, key) {
  try {
    await request(`v1/feedback/${id}`, {
      method: "DELETE",
      headers: authorization(key),
      timeout: MODEL_TIMEOUT,
    });
  } catch (error) {
    if (error.status !== 404) throw error;
  }
}

/**
 * Check whether the service is ready to classify photos.
 *
 * @returns {Promise<boolean>}
 */
export async function isReady() {
  try {
    await request("readyz", { timeout: MODEL_TIMEOUT });
    return true;
  } catch {
    return false;
  }
}

/** Fetch; every failure becomes one of the errors above or the signal's reason. */
async function request(path, { timeout, signal = undefined, ...options }) {
  const controller = new AbortController(); // AbortSignal.any is missing on many phones
  const stop = () => controller.abort();
  const timer = setTimeout(stop, timeout);
  signal?.addEventListener("abort", stop);
  let response;
  try {
    response = await fetch(new URL(path, ROOT), {
      ...options,
      cache: "no-store",
      signal: controller.signal,
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw new UnreachableError(error.message);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
  if (response.ok) return response;
  if (response.status === 502 || response.status === 504) {
    throw new UnreachableError("the proxy cannot reach the service");
  }
  const problem = await response.json().catch(() => ({}));
  const seconds = Number(response.headers.get("Retry-After"));
  throw new ServiceError(response.status, problem.detail ?? "", seconds > 0 ? seconds : 1);
}
