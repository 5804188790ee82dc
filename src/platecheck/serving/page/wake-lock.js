/** Keeping the screen on, where the browser can. */

export class WakeLock {
  #lock = null;
  #wanted = false;

  constructor() {
    // The browser lets go when the page is hidden.
    document.addEventListener("visibilitychange", () => this.#update());
  }

  /** Keep the screen on, or no longer. */
  keep(wanted) {
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
