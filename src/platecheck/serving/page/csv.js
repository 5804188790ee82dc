/** Answers as a CSV file (RFC 4180) for spreadsheets and programs. */

// A spreadsheet takes a cell that begins so for a formula, and a photo's name may come from anyone.
const FORMULA = /^[=+\-@\t\r]/;
// Without it Excel takes UTF-8 for something else.
const BYTE_ORDER_MARK = "\ufeff";

/**
 * Rows of answers as CSV. The header and the labels are the same in every language.
 *
 * @param {{name: string, entry: object, where: string, time: Date}[]} rows
 * @param {string[]} classes
 */
export function answersAsCsv(rows, classes) {
  const header = ["photo", "label", "probability", ...classes, "answered_by", "time", "error"];
  const lines = rows.map(({ name, entry, where, time }) => [
    name,
    entry.label ?? "",
    entry.label === "not a dish" ? "" : (entry.probability ?? ""), // that is no class's
    ...classes.map((each) => entry.probabilities?.[each] ?? ""),
    where,
    time.toISOString(),
    entry.error?.detail ?? "",
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

/** Let a person save a text as a file. */
export function saveFile(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000); // after the browser has begun to read
}
