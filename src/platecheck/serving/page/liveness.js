/** Whether a camera still delivers new frames: a paused video or a stuck camera shows its last one. */

import { scaled } from "./prepare.js";

// Without a new frame for so many milliseconds the camera is taken for stuck.
const STUCK_AFTER = 3000;
const POLL_EVERY = 50;
const CHECKED_SIDE = 320; // smaller is quicker, and still shows a sensor's noise

/** After how many milliseconds without a new frame a camera is opened anew, by the text of why. */
export const REOPEN_AFTER = { cameraEnded: 3000, cameraStuck: 10000 };

/**
 * Why a video shows no new frames, as far as it says so itself: the key of a text, or null.
 *
 * @param {HTMLVideoElement} video
 */
export function whyStopped(video) {
  const [track] = video.srcObject?.getVideoTracks() ?? [];
  if (!track || track.readyState === "ended") return "cameraEnded";
  const delivers = !track.muted && track.enabled && !video.paused;
  return delivers && video.readyState >= video.HAVE_CURRENT_DATA ? null : "cameraStuck";
}

/** Tells new frames of a video from old ones: by how many it was given and, where a browser does not
 * count them, by their pixels. */
export class Liveness {
  #count = -1;
  #pixels = null;
  #since = Date.now(); // when the last new frame came; the clock that goes on while a laptop sleeps

  /** Milliseconds since the last new frame. */
  get age() {
    return Date.now() - this.#since;
  }

  get isStuck() {
    return this.age > STUCK_AFTER;
  }

  /**
   * Look at a video, to be called twice a second: why what it shows is old, the key of a text, or
   * null. A video that is paused, as phones do in the background, plays again.
   */
  whyOld(video) {
    if (document.visibilityState !== "visible") {
      this.#since = Date.now(); // hidden pages get no frames
      return "watchWait";
    }
    if (video.paused && video.srcObject) video.play().catch(() => null);
    const why = whyStopped(video);
    if (!why) this.isNew(video, scaled(video, CHECKED_SIDE));
    return why ?? (this.isStuck ? "cameraStuck" : null);
  }

  /**
   * Take in what a video shows: whether it is another frame than before.
   *
   * @param {HTMLVideoElement} video
   * @param {OffscreenCanvas} frame
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
 * The next frame that a video shows, its longer side at most `side`; null where none comes.
 *
 * @param {HTMLVideoElement} video
 * @returns {Promise<OffscreenCanvas|null>}
 */
export async function nextFrame(video, side) {
  const liveness = new Liveness();
  for (let first = true; !liveness.isStuck; first = false) {
    if (!whyStopped(video)) {
      const frame = scaled(video, side);
      if (liveness.isNew(video, frame) && !first) return frame;
    }
    await new Promise((done) => setTimeout(done, POLL_EVERY));
  }
  return null;
}
