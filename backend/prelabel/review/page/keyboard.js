// The keys of the page. Small letters begin a name; commands are letters with Shift.

import { cellsIn, regionOf } from "./cells.js";
import { find, make } from "./dom.js";
import { merge, move, moveToNothing, split, undo } from "./edits.js";
import { classAt, focusClass, order, rowOf } from "./grid.js";
import { askClass, askName, giveNothing, nameOfDigit, use } from "./names.js";
import { anchorAt, selectTo, toggle } from "./pointing.js";
import { clear, selectClasses, selection, toggleClass } from "./selection.js";
import { layout } from "./sheet.js";
import { store } from "./state.js";

const focusedCell = () => document.activeElement?.closest?.(".cell");
/** Cut-outs that a command is about: the selected ones, else the one at the keys. */
const chosenRegions = () => {
  const at = focusedCell();
  return selection.regions.size ? [...selection.regions] : at ? [regionOf(at)] : [];
};

function goCell(element) {
  element.focus({ preventScroll: true });
  element.scrollIntoView({ block: "nearest" });
}

function sideways(step, event) {
  const row = rowOf(selection.current);
  if (!row) return;
  const cells = cellsIn(row.strip);
  const at = focusedCell();
  const next = cells[at ? cells.indexOf(at) + step : step > 0 ? 0 : -1];
  if (!next) {
    if (step < 0) row.name.focus();
    return;
  }
  if (event.shiftKey && at && !selection.regions.size) anchorAt(at);
  goCell(next);
  if (event.shiftKey) selectTo(next);
}

function upDown(step, event) {
  const at = focusedCell();
  const row = rowOf(selection.current);
  if (at && row?.sheet.expanded) {
    const cells = cellsIn(row.strip);
    const next = cells[cells.indexOf(at) + step * layout.columns];
    if (next) return goCell(next);
    if (step < 0) return row.name.focus();
  }
  return jump(order().indexOf(selection.current) + step, event);
}

function jump(place, event) {
  const ids = order();
  const before = selection.current;
  const id = ids[Math.min(Math.max(place, 0), ids.length - 1)];
  if (id === undefined) return;
  focusClass(id);
  if (event.shiftKey) selectClasses([before, id]);
}

function remove() {
  const regions = chosenRegions();
  if (regions.length) moveToNothing(regions);
  else giveNothing();
}

function select() {
  const at = focusedCell();
  if (at) toggle(at);
  else if (selection.current !== null) toggleClass(selection.current);
}

function newClass() {
  const regions = chosenRegions();
  if (regions.length) move(regions, null);
}

function enter() {
  if (selection.regions.size) askClass([...selection.regions], { near: focusedCell() });
  else askName();
}

const screenful = () => Math.max(Math.floor(find("scroller").clientHeight / (rowOf(selection.current)?.element.offsetHeight || 150)), 1);
const send = () => askClass(chosenRegions(), { near: focusedCell() ?? rowOf(selection.current)?.name });
const all = () => {
  const row = rowOf(selection.current);
  row?.expand(!row.sheet.expanded);
};

/** [keys as people write them, what they do, codes by event, what runs] */
const KEYS = [
  [["↑", "↓"], "class before, next class", { ArrowUp: (e) => upDown(-1, e), ArrowDown: (e) => upDown(1, e) }],
  [["←", "→"], "cut-outs of the class", { ArrowLeft: (e) => sideways(-1, e), ArrowRight: (e) => sideways(1, e) }],
  [["Home", "End"], "first and last class", { Home: (e) => jump(0, e), End: (e) => jump(Infinity, e) }],
  [["PageUp", "PageDown"], "a screen up, down", {
    PageUp: (e) => jump(order().indexOf(selection.current) - screenful(), e),
    PageDown: (e) => jump(order().indexOf(selection.current) + screenful(), e) }],
  [["a letter", "Enter"], "name the class; with cut-outs selected: send them to a class", { F2: enter }],
  [["1", "…", "9"], "give the name with that number", {}],
  [["Delete"], "this is nothing: the class, or the cut-outs that are selected or have the focus", { Delete: remove, Backspace: remove }],
  [["Space"], "select, or no longer; with Shift and an arrow: several", { " ": select }],
  [["Enter"], "at a cut-out: open its photo", {}],
  [["Shift+M"], "merge the selected classes", { "shift M": merge }],
  [["Shift+S"], "split the class in two, or split off the selected cut-outs", { "shift S": split }],
  [["Shift+T"], "send the cut-out to a class", { "shift T": send }],
  [["Shift+N"], "send the cut-out to a new class", { "shift N": newClass }],
  [["Shift+A"], "show all cut-outs of the class, or fewer", { "shift A": all }],
  [["Shift+L"], "draw a lasso on the map", { "shift L": () => find("lasso").click() }],
  [["Shift+U", "Ctrl+Z"], "undo", { "shift U": undo, "ctrl z": undo }],
  [["Escape"], "close, or select nothing", { Escape: clear }],
  [["?"], "these keys", { "?": () => find("show-keys").click() }],
];
const KEY = /^(?!a letter|…)/;
const RUN = Object.assign({}, ...KEYS.map(([, , run]) => run));

function named(event) {
  const letter = [...event.key].length === 1;
  if (event.ctrlKey || event.metaKey) return letter ? `ctrl ${event.key.toLowerCase()}` : event.key;
  if (!/^[a-z]$/i.test(event.key)) return event.key;
  // With Caps Lock a capital is no command, and Shift makes a small letter.
  const shifted = event.getModifierState("CapsLock") ? event.shiftKey : /[A-Z]/.test(event.key);
  return shifted ? `shift ${event.key.toUpperCase()}` : event.key;
}

/** Keys that a control of the page needs itself. */
function needsItself(target, key) {
  if (target.closest("dialog, #map")) return target.closest("dialog") || /^Arrow|^[+\-0]$/.test(key);
  if (target.matches("input[type=range], input[type=radio]")) return /^Arrow|^(Home|End|Page.*)$/.test(key);
  if (key === " " || key === "Enter") return target.matches("button, input") && !target.matches(key === " " ? ".name, .cell" : ".pick");
  return false;
}

function typed(key, event) {
  if (/^[1-9]$/.test(key)) {
    const name = nameOfDigit(Number(key));
    if (name !== undefined) use(name);
    return name !== undefined;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || !/^[\p{L}\p{N}]$/u.test(key)) return false;
  if (selection.regions.size) askClass([...selection.regions], { typed: key, near: focusedCell() });
  else askName(key);
  return true;
}

function press(event) {
  if (!store.state || event.isComposing || event.defaultPrevented || needsItself(event.target, event.key)) return;
  const run = RUN[named(event)];
  if (run) run(event);
  else if (event.key === "Enter" && classAt(event.target) === null) enter();
  else if (!typed(event.key, event)) return;
  event.preventDefault();
}

export function start() {
  addEventListener("keydown", press);
  find("keys-list").append(...KEYS.flatMap(([keys, text]) => [
    make("dt", {}, ...keys.map((key) => make(KEY.test(key) ? "kbd" : "span", {}, key))), make("dd", {}, text)]));
}
