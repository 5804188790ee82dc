// @ts-check
/** Explain to users why a photo has no prediction. */

import { UnavailableError } from "./inference-client.js";
import { currentLanguage, t } from "./language.js";
import { REASONS } from "./texts.js";

// Texts for HTTP status codes; for others the service's own message is shown.
const STATUSES = { 408: "tooSlow", 413: "tooLarge", 503: "tooBusy" };
const SAVE_AS = "save the picture as JPEG or PNG";

/**
 * Return why a photo has no prediction.
 *
 * @param {any} error a prediction's `error` or a caught exception
 * @returns {string}
 */
export function errorMessage(error) {
  if (error instanceof UnavailableError) return t(error.key, { why: reason(error.message) });
  if (STATUSES[error.status]) return t(STATUSES[error.status]);
  if (error.status >= 500) return t("serviceFault", { status: error.status });
  return error.detail ? reason(error.detail) : t("unreadable");
}

/** Translate an error message of the service, if there is a translation. */
function reason(english) {
  if (english in REASONS) return t(REASONS[english]);
  // The name of the file type is not translated; the advice is the same for all types.
  return currentLanguage() !== "en" && english.endsWith(SAVE_AS) ? t("otherFormat") : english;
}
