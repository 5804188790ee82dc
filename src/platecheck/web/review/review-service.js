// @ts-check
/** HTTP client of the review server. */

/** The review server responded with an error or is unreachable. */
export class ReviewServiceError extends Error {
  /**
   * @param {number} status HTTP status code; 0: unreachable
   * @param {string} detail English message
   */
  constructor(status, detail = "") {
    super(detail);
    this.status = status;
  }
}

/**
 * Fetch the labels and the photos, with this reviewer's decisions.
 *
 * @param {string} reviewer
 */
export async function fetchQueue(reviewer) {
  return (await request(`/v1/review?${query(reviewer)}`)).json();
}

/** @param {string} reviewer */
export async function fetchAgreement(reviewer) {
  return (await request(`/v1/agreement?${query(reviewer)}`)).json();
}

/**
 * @param {string} photo
 * @param {number} side maximum width and height in pixels
 * @returns {string} URL
 */
export function photoUrl(photo, side) {
  return `/v1/photos/${photo}?side=${side}`;
}

/**
 * @param {string} photo
 * @param {number} side
 * @returns {Promise<Blob>}
 */
export async function fetchPhoto(photo, side) {
  return (await request(photoUrl(photo, side))).blob();
}

/**
 * Store a decision; null deletes it.
 *
 * @param {string} photo
 * @param {string} reviewer
 * @param {string|null} label
 */
export async function sendDecision(photo, reviewer, label) {
  const path = `/v1/decisions/${photo}?${query(reviewer)}`;
  if (label === null) {
    await request(path, { method: "DELETE" });
  } else {
    await request(path, {
      method: "PUT",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ label }),
    });
  }
}

function query(reviewer) {
  return new URLSearchParams({ reviewer });
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, cache: "no-store" });
  } catch {
    throw new ReviewServiceError(0);
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new ReviewServiceError(response.status, problem.detail);
}
