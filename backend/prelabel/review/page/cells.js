// Cut-outs as buttons: one cell is one region.

import { thumbnail } from "./api.js";
import { make } from "./dom.js";
import { selection } from "./selection.js";

/** A cell of a region ({id, photo, name, score, …}), its place from 0 among `total`. */
export function cell(region, place, total) {
  const text = `${region.name}, score ${region.score.toFixed(2)}`;
  const made = make("button", {
    type: "button", class: "cell", tabindex: "-1", title: text,
    "aria-label": `Cut-out ${place + 1} of ${total}: ${text}`,
    "data-region": region.id, "data-place": place,
  }, make("img", { alt: "", decoding: "async", draggable: "false", src: thumbnail(region.id) }));
  mark(made);
  return made;
}

/** Show whether a cell is selected. */
export function mark(element) {
  const selected = String(selection.regions.has(Number(element.dataset.region)));
  if (element.ariaPressed !== selected) element.ariaPressed = selected;
}

export const cellsIn = (element) => [...element.querySelectorAll(".cell")];
export const regionOf = (element) => Number(element.dataset.region);
