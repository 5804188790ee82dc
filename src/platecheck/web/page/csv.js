// @ts-check
/** Export answers as CSV (RFC 4180). */

// Spreadsheets run cells that start like this as formulas; photo names are not trusted.
const FORMULA = /^[=+\-@\t\r]/;
// Without it Excel does not detect UTF-8.
const BYTE_ORDER_MARK = "\ufeff";

/**
 * Return inspections as CSV, a row a dish; header and labels are English in every language.
 *
 * @param {{name: string, inspection: any, source: string, time: Date}[]} rows
 * @param {string[]} classes
 * @returns {string}
 */
export function inspectionsToCsv(rows, classes) {
  const header = [
    ...["photo", "verdict", "dish", "label", "probability", ...classes, "quality"],
    ...["answered_by", "time", "error"],
  ];
  const lines = rows.flatMap(({ name, inspection, source, time }) => {
    const { verdict = "", dishes = [], quality = "", error } = inspection;
    const of = (dish, index) => [
      name,
      verdict,
      dish ? String(index + 1) : "",
      dish?.label ?? "",
      dish?.probability ?? "",
      ...classes.map((each) => dish?.probabilities[each] ?? ""),
      dish?.quality ?? quality,
      source,
      time.toISOString(),
      error?.detail ?? "",
    ];
    return dishes.length ? dishes.map(of) : [of(null, 0)];
  });
  return toCsv([header, ...lines]);
}

/**
 * @param {import("./records.js").DishRecord[]} records
 * @returns {string} CSV
 */
export function recordsToCsv(records) {
  const header = ["shift", "station", "time", "photo", "label", "probability", "corrected_to"];
  const lines = records.map(({ time, name, right, ...each }) => {
    const fields = { ...each, time: time.toISOString(), photo: name, corrected_to: right ?? "" };
    return header.map((column) => fields[column]);
  });
  return toCsv([header, ...lines]);
}

function toCsv(lines) {
  return BYTE_ORDER_MARK + lines.map((cells) => line(cells)).join("");
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
