/** The review server's HTTP interface. */

/** The server does not do what it was asked. */
export class ReviewServiceError extends Error {
  /**
   * @param {number} status of HTTP; 0: nobody answers
   * @param {string} detail in English
   */
  constructor(status, detail = "") {
    super(detail);
    this.status = status;
  }
}

/** What there is to review, and what this reviewer has decided. */
export async function fetchQueue(reviewer) {
  return (await request(`/v1/review?${of(reviewer)}`)).json();
}

/** How far reviewers agree. */
export async function fetchAgreement(reviewer) {
  return (await request(`/v1/agreement?${of(reviewer)}`)).json();
}

/** Where a photo is, at most so many pixels wide and high. */
export function photoAddress(photo, side) {
  return `/v1/photos/${photo}?side=${side}`;
}

/** A photo's file. */
export async function fetchPhoto(photo, side) {
  return (await request(photoAddress(photo, side))).blob();
}

/** Keep a decision; null forgets it. */
export async function sendDecision(photo, reviewer, label) {
  const path = `/v1/decisions/${photo}?${of(reviewer)}`;
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

function of(reviewer) {
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
