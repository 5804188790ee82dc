// @ts-check
/** Export predictions as CSV (RFC 4180). */

// Spreadsheets run cells that start like this as formulas; photo names are not trusted.
const FORMULA = /^[=+\-@\t\r]/;
// Without it Excel does not detect UTF-8.
const BYTE_ORDER_MARK = "\ufeff";

/**
 * Return predictions as CSV; header and labels are English in every language.
 *
 * @param {{name: string, prediction: any, source: string, time: Date}[]} rows
 * @param {string[]} classes
 * @returns {string}
 */
export function predictionsToCsv(rows, classes) {
  const header = ["photo", "label", "probability", ...classes, "answered_by", "time", "error"];
  const lines = rows.map(({ name, prediction, source, time }) => [
    name,
    prediction.label ?? "",
    prediction.label === "not a dish" ? "" : (prediction.probability ?? ""), // no class has it
    ...classes.map((each) => prediction.probabilities?.[each] ?? ""),
    source,
    time.toISOString(),
    prediction.error?.detail ?? "",
  ]);
  return BYTE_ORDER_MARK + [header, ...lines].map((cells) => line(cells)).join("");
}

function line(cells) {
  return `${cells.map(cell).join(",")}\r\n`;
}

function cell(value) {
  let text = typeof value === "number" ? value.toFixed(6) : String(value);
  if (FORMULA.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * Download a text as a file.
 *
 * @param {string} name
 * @param {string} text
 * @param {string} type MIME type
 */
export function saveFile(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000); // read by then
}
