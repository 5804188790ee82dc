// @ts-check
/** Settings stored on this device: choices and the API key, never predictions or photos. */

const PREFIX = "platecheck.";

/**
 * @param {string} name
 * @returns {string|null} stored value
 */
export function loadSetting(name) {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null; // storage is disabled; the page works without it
  }
}

/**
 * Store a value; null deletes it.
 *
 * @param {string} name
 * @param {string|null} value
 */
export function saveSetting(name, value) {
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, value);
  } catch {
    // storage is disabled; the setting lasts for this session only
  }
}
