// Cut-outs by mouse and touch: a click opens the photo, Shift and Ctrl select, a long press selects
// on a touch screen, and a drag sends cut-outs to another class.

import { cellsIn, regionOf } from "./cells.js";
import { find } from "./dom.js";
import { move, moveToNothing } from "./edits.js";
import { classAt } from "./grid.js";
import { selectOnly, selectRegions, selection, setCurrent, toggleRegion } from "./selection.js";
import { emit } from "./state.js";

const LONG_PRESS = 450; // milliseconds
const list = find("rows");
const tray = find("tray");

let anchor = null;
let pressed = 0;
let swallow = false;
let draggedFrom = null;

/** Select from the cut-out that was selected last to this one, if both are in one class. */
export function selectTo(element) {
  const cells = cellsIn(element.closest(".strip"));
  const from = cells.findIndex((item) => regionOf(item) === anchor);
  const to = cells.indexOf(element);
  const range = from < 0 ? [element] : cells.slice(Math.min(from, to), Math.max(from, to) + 1);
  selectRegions(range.map(regionOf));
  anchor ??= regionOf(element);
}

export function toggle(element) {
  anchor = regionOf(element);
  toggleRegion(anchor);
}

/** Where a selection by Shift starts. */
export function anchorAt(element) {
  anchor = regionOf(element);
}

function click(event, open) {
  const element = event.target.closest(".cell");
  if (!element) {
    const id = classAt(event.target);
    if (id !== null) setCurrent(id);
    return;
  }
  setCurrent(classAt(element));
  const touching = event.pointerType === "touch" && selection.regions.size > 0;
  if (swallow) swallow = false;
  else if (event.shiftKey) selectTo(element);
  else if (event.ctrlKey || event.metaKey || touching) toggle(element);
  else open(element);
}

function press(event) {
  swallow = false;
  const element = event.target.closest(".cell");
  if (!element) return;
  // On touch screens a long press would start a drag instead.
  element.draggable = event.pointerType !== "touch";
  if (event.pointerType !== "touch") return;
  clearTimeout(pressed);
  pressed = setTimeout(() => {
    swallow = true;
    toggle(element);
    navigator.vibrate?.(20);
  }, LONG_PRESS);
}

const release = () => clearTimeout(pressed);

function startDrag(event) {
  const element = event.target.closest?.(".cell");
  if (!element) return;
  if (!selection.regions.has(regionOf(element))) selectOnly([regionOf(element)]);
  draggedFrom = classAt(element);
  event.dataTransfer.setData("text/plain", element.title);
  event.dataTransfer.effectAllowed = "move";
  // A change of the page within this event would end the drag.
  setTimeout(() => emit("drag", true));
}

function dropTarget(event) {
  return event.target.closest?.("[data-drop]") ?? event.target.closest?.(".row") ?? null;
}

let over = null;

function dragOver(event) {
  const target = selection.regions.size ? dropTarget(event) : null;
  if (over !== target) over?.classList.remove("over");
  over = target;
  if (!target) return;
  target.classList.add("over");
  event.preventDefault();
}

function drop(event) {
  const target = dropTarget(event);
  over?.classList.remove("over");
  if (!target || !selection.regions.size) return;
  event.preventDefault();
  const regions = [...selection.regions];
  if (target.dataset.drop === "nothing") moveToNothing(regions);
  else if (target.dataset.drop === "new") move(regions, null);
  else if (classAt(target) !== draggedFrom) move(regions, classAt(target));
}

/** `open(cell)`: show its photo. */
export function start(open) {
  list.addEventListener("click", (event) => click(event, open));
  list.addEventListener("pointerdown", press);
  for (const type of ["pointerup", "pointercancel", "pointerleave"]) list.addEventListener(type, release);
  list.addEventListener("pointermove", (event) => { if (event.movementX ** 2 + event.movementY ** 2 > 9) release(); });
  list.addEventListener("contextmenu", (event) => { if (event.pointerType === "touch") event.preventDefault(); });
  list.addEventListener("dragstart", startDrag);
  for (const place of [list, tray]) {
    place.addEventListener("dragover", dragOver);
    place.addEventListener("drop", drop);
  }
  addEventListener("dragend", () => {
    over?.classList.remove("over");
    emit("drag", false);
  });
}
