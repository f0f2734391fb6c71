// Which class and cut-out is current, and what is selected: classes or cut-outs, never both.

import { emit, store } from "./state.js";

export const selection = {
  /** The class that keys act on; null before the first answer. */
  current: null,
  classes: new Set(),
  regions: new Set(),
};

const changed = () => emit("selection");

export function setCurrent(id) {
  if (selection.current === id) return;
  selection.current = id;
  changed();
}

export function clear() {
  selection.classes.clear();
  selection.regions.clear();
  changed();
}

/** Take these into the selection, or out of it. */
export function selectClasses(ids, selected = true) {
  selection.regions.clear();
  for (const id of ids) selection.classes[selected ? "add" : "delete"](id);
  changed();
}

export function selectRegions(ids, selected = true) {
  selection.classes.clear();
  for (const id of ids) selection.regions[selected ? "add" : "delete"](id);
  changed();
}

export function selectOnly(ids) {
  selection.regions.clear();
  selectRegions(ids);
}

export const toggleClass = (id) => selectClasses([id], !selection.classes.has(id));
export const toggleRegion = (id) => selectRegions([id], !selection.regions.has(id));

/** The classes that a command is about: the selected ones, else the current one. */
export function chosenClasses() {
  if (selection.classes.size) return [...selection.classes];
  return selection.current === null ? [] : [selection.current];
}

/** Leave out classes that are gone. */
export function tidy() {
  for (const id of selection.classes) if (!store.classes.has(id)) selection.classes.delete(id);
  if (!store.classes.has(selection.current)) selection.current = null;
}
