/** Making elements: text goes in as text, never as markup. */

const SVG = "http://www.w3.org/2000/svg";

/** The element with that id. */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Make an element.
 *
 * @param {string} tag
 * @param {object} properties `class` and `data` as expected, `on` holds listeners by event, names
 *   with a hyphen and `role` are attributes; all others are properties of the element
 * @param {...(Node|string|null)} children null is left out
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

/** One of the page's icons, a shape that says the same as the text beside it. */
export function icon(name) {
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("class", "icon");
  picture.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  picture.append(use);
  return picture;
}

/** A file's name, for which a line breaks between its words and numbers, not inside of them. */
export function fileName(name) {
  const parts = name.split(/(?<=[_\-\s(])|(?=\.\w+$)|(?<=\D)(?=\d)/);
  return parts.flatMap((part, index) => (index ? [document.createElement("wbr"), part] : [part]));
}
