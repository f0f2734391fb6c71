// Elements, and how numbers are written. Names come in as text only, never as markup.

const SVG = new Set(["svg", "path", "rect", "image", "g", "text", "title"]);

export const find = (id) => document.getElementById(id);

/** An element with its attributes (false: without it) and children. */
export function make(tag, attributes = {}, ...children) {
  const element = SVG.has(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function button(text, run, attributes = {}) {
  const made = make("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", run);
  return made;
}

/** A small square in a class's colour. */
export function swatch(color) {
  const mark = make("i", { class: "swatch" });
  if (color) mark.style.background = color;
  return mark;
}

export const number = (n) => Math.round(n).toLocaleString("en").replaceAll(",", "\u202f");

export const count = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

/** Seconds in the words of a lead: 45 s, 12 min, 3 h 20 min. */
export function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${number(Math.floor(minutes / 60))} h${minutes % 60 ? ` ${minutes % 60} min` : ""}`;
}
