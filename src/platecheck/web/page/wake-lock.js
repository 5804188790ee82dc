// @ts-check
/** Keep the screen on, where supported. */

export class WakeLock {
  #lock = null;
  #wanted = false;

  constructor() {
    // The browser releases the lock when the page is hidden.
    document.addEventListener("visibilitychange", () => this.#update());
  }

  /** @param {boolean} wanted whether to keep the screen on */
  set(wanted) {
    this.#wanted = wanted;
    this.#update();
  }

  async #update() {
    if (!this.#wanted) {
      await this.#lock?.release();
      this.#lock = null;
    } else if (document.visibilityState === "visible") {
      this.#lock = await navigator.wakeLock?.request("screen").catch(() => null); // low battery
    }
  }
}
