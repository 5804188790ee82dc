/** What this device remembers: choices and the API key, never an answer or a photo. */

const PREFIX = "platecheck.";

/** A remembered value, or null. */
export function remembered(name) {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null; // storage is switched off: the page works without a memory
  }
}

/** Remember a value; null forgets it. */
export function remember(name, value) {
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, value);
  } catch {
    // As above; then the choice holds for this visit only.
  }
}
