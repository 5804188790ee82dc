// @ts-check
/** Detect a camera that delivers no new frames: a paused or stuck video shows its last one. */

import { scaled } from "./prepare.js";

// Milliseconds without a new frame after which the camera counts as stuck.
const STUCK_AFTER = 3000;
const POLL_INTERVAL = 50;
const CHECK_SIDE = 320; // smaller is quicker, and still shows a sensor's noise

/** Milliseconds without a new frame after which to reopen the camera, by reason. */
export const REOPEN_AFTER = { cameraEnded: 3000, cameraStuck: 10000 };

/**
 * Return why a video reports that it delivers no frames.
 *
 * @param {any} video an HTMLVideoElement
 * @returns {string|null} key of a text
 */
export function stopReason(video) {
  const [track] = video.srcObject?.getVideoTracks() ?? [];
  if (!track || track.readyState === "ended") return "cameraEnded";
  const delivers = !track.muted && track.enabled && !video.paused;
  return delivers && video.readyState >= video.HAVE_CURRENT_DATA ? null : "cameraStuck";
}

/** Tells new frames of a video from old ones by their count or, if not counted, by their pixels. */
export class Liveness {
  #count = -1;
  #pixels = null;
  #since = Date.now(); // time of the last new frame; Date counts the time a laptop sleeps

  /** Milliseconds since the last new frame. */
  get age() {
    return Date.now() - this.#since;
  }

  get isStuck() {
    return this.age > STUCK_AFTER;
  }

  /**
   * Check a video; call this twice a second. Also resumes a video that a phone paused.
   *
   * @param {HTMLVideoElement} video
   * @returns {string|null} why its frame is stale, the key of a text
   */
  staleReason(video) {
    if (document.visibilityState !== "visible") {
      this.#since = Date.now(); // hidden pages get no frames
      return "watchWait";
    }
    if (video.paused && video.srcObject) video.play().catch(() => null);
    const reason = stopReason(video);
    if (!reason) this.isNew(video, scaled(video, CHECK_SIDE));
    return reason ?? (this.isStuck ? "cameraStuck" : null);
  }

  /**
   * Compare a frame with the last one.
   *
   * @param {HTMLVideoElement} video
   * @param {OffscreenCanvas} frame
   * @returns {boolean} whether it is another one
   */
  isNew(video, frame) {
    const count = video.getVideoPlaybackQuality?.().totalVideoFrames ?? 0;
    const { data } = frame.getContext("2d").getImageData(0, 0, frame.width, frame.height);
    const pixels = new Uint32Array(data.buffer);
    const old = this.#pixels;
    const same = old?.length === pixels.length && pixels.every((pixel, i) => pixel === old[i]);
    if (same && count === this.#count) return false;
    this.#count = count;
    this.#pixels = pixels;
    this.#since = Date.now();
    return true;
  }
}

/**
 * Wait for the next frame of a video.
 *
 * @param {HTMLVideoElement} video
 * @param {number} side pixels of its longer side at most
 * @returns {Promise<OffscreenCanvas|null>} null if the video is stuck
 */
export async function nextFrame(video, side) {
  const liveness = new Liveness();
  for (let first = true; !liveness.isStuck; first = false) {
    if (!stopReason(video)) {
      const frame = scaled(video, side);
      if (liveness.isNew(video, frame) && !first) return frame;
    }
    await new Promise((done) => setTimeout(done, POLL_INTERVAL));
  }
  return null;
}
