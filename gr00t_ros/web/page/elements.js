/** Finds, fills and makes elements of the page. */

export const $ = (id) => document.getElementById(id);

/** Writes text only where it differs: an unchanged page costs nothing and is not read out again. */
export function put(place, text) {
  const element = typeof place === "string" ? $(place) : place;
  if (element.textContent !== text) element.textContent = text;
}

export function make(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}
