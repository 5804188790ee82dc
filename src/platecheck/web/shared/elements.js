// @ts-check
/** Create elements; text is inserted as text, never as markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} id
 * @returns {any} the element, of whatever type index.html gives it
 */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Create an element.
 *
 * @param {string} tag
 * @param {Record<string, any>} properties `class`; `data` for data attributes; `on` for listeners by
 *   event; names with a hyphen and `role` are attributes; all others are element properties
 * @param {...(Node|string|null)} children null is skipped
 * @returns {any} the element
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "on") {
      for (const [event, listener] of Object.entries(value)) {
        element.addEventListener(event, listener);
      }
    } else if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/**
 * Create an icon. It is hidden from screen readers: the text beside it says the same.
 *
 * @param {string} name of a symbol in sprite.svg
 * @returns {SVGElement}
 */
export function icon(name) {
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("class", "icon");
  picture.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  picture.append(use);
  return picture;
}

/**
 * Allow line breaks in a file name between its words and numbers.
 *
 * @param {string} name
 * @returns {(Node|string)[]}
 */
export function breakableName(name) {
  const parts = name.split(/(?<=[_\-\s(])|(?=\.\w+$)|(?<=\D)(?=\d)/);
  return parts.flatMap((part, index) => (index ? [document.createElement("wbr"), part] : [part]));
}
