// The list of classes, largest first.

import { cellsIn, mark, regionOf } from "./cells.js";
import { find, make } from "./dom.js";
import { Row } from "./row.js";
import { selectClasses, selection, setCurrent, tidy, toggleClass } from "./selection.js";
import { forget, measure } from "./sheet.js";
import { emit, on, store } from "./state.js";

const scroller = find("scroller");
const list = find("rows");
const rows = new Map();

const FILTERS = {
  All: () => true,
  Unnamed: (item) => !item.name && !item.background,
  Named: (item) => Boolean(item.name) && !item.background,
  Nothing: (item) => item.background,
};
let filter = "All";
let actions = {};

/** Classes in the order of the page. */
export const order = () => [...list.children].map((item) => Number(item.dataset.class));
export const rowOf = (id) => rows.get(id);
/** The class that an element lies in, or null. */
export const classAt = (element) => {
  const row = element?.closest?.(".row");
  return row ? Number(row.dataset.class) : null;
};

export function start(given) {
  actions = { ...given, pick };
  for (const name of Object.keys(FILTERS)) {
    const radio = make("input", { type: "radio", name: "filter", value: name });
    radio.checked = name === filter;
    radio.addEventListener("change", () => { filter = name; arrange(); });
    find("filter").append(make("label", {}, radio, make("span", {}, name), make("small", { "data-filter": name })));
  }
  const size = find("size").querySelector("input");
  size.addEventListener("input", resize);
  new ResizeObserver(resize).observe(scroller);
  on("state", update);
  on("selection", markAll);
  resize();
}

function resize() {
  const size = Number(find("size").querySelector("input").value);
  const style = getComputedStyle(list);
  const inside = scroller.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  const padding = 2 * parseFloat(style.getPropertyValue("--row-padding"));
  if (!measure(inside - padding, size)) return;
  for (const row of rows.values()) row.sheet.renew(row.item.count);
}

function pick(id, event) {
  event.stopPropagation();
  if (event.shiftKey && selection.current !== null) selectClasses(between(selection.current, id));
  else toggleClass(id);
  setCurrent(id);
}

/** Classes from one to another in the order of the page, both included. */
export function between(a, b) {
  const ids = order();
  const [from, to] = [ids.indexOf(a), ids.indexOf(b)].sort((x, y) => x - y);
  return ids.slice(Math.max(from, 0), to + 1);
}

function update() {
  const { classes } = store.state;
  for (const item of classes) {
    const row = rows.get(item.id);
    if (row) row.update(item);
    else rows.set(item.id, new Row(item, actions));
  }
  for (const [id, row] of rows) {
    if (!store.classes.has(id)) {
      forget(row.strip);
      rows.delete(id);
    }
  }
  arrange();
}

/** Put the rows in their order, without moving the current one on the screen. */
function arrange() {
  if (!store.state) return;
  const place = order().indexOf(selection.current);
  const focused = document.activeElement;
  const anchor = rows.get(selection.current)?.element;
  const top = anchor?.isConnected ? anchor.getBoundingClientRect().top : null;
  const items = store.state.classes.filter(FILTERS[filter]).sort((a, b) =>
    a.background - b.background || b.count - a.count || a.id - b.id);
  const elements = items.map((item) => rows.get(item.id).element);
  const kept = new Set(elements);
  for (const child of [...list.children]) if (!kept.has(child)) child.remove();
  elements.forEach((element, i) => {
    if (list.children[i] !== element) list.insertBefore(element, list.children[i] ?? null);
  });
  if (top !== null && anchor.isConnected && scroller.scrollTop > 0) {
    scroller.scrollTop += anchor.getBoundingClientRect().top - top;
  }
  tidy();
  if (items.length && !kept.has(rows.get(selection.current)?.element)) {
    const next = items[Math.min(Math.max(place, 0), items.length - 1)].id;
    if (place >= 0 && (focused === document.body || !focused.isConnected)) focusClass(next);
    else setCurrent(next);
  } else if (focused !== document.activeElement && focused.isConnected) {
    focused.focus({ preventScroll: true });
  }
  say(items.length);
  markAll();
}

function say(n) {
  const empty = find("empty");
  empty.hidden = n > 0;
  empty.textContent = store.state.classes.length
    ? { Unnamed: "Every class has a name.", Nothing: "No class is nothing.", Named: "No class has a name yet." }[filter]
    : "There are no regions.";
  for (const note of find("filter").querySelectorAll("small")) {
    note.textContent = store.state.classes.filter(FILTERS[note.dataset.filter]).length;
  }
}

function markAll() {
  for (const row of rows.values()) row.mark();
  for (const item of cellsIn(list)) mark(item);
}

/** Bring a class to the keys, and into view. */
export function focusClass(id) {
  const row = rows.get(id);
  if (!row?.element.isConnected) return;
  setCurrent(id);
  row.name.focus({ preventScroll: true });
  row.element.scrollIntoView({ block: row.element.offsetHeight > scroller.clientHeight ? "start" : "nearest" });
}

/** Show a class that may be filtered out. */
export function showClass(id) {
  if (!rows.get(id)?.element.isConnected) {
    find("filter").querySelector("input").checked = true;
    filter = "All";
    arrange();
  }
  focusClass(id);
}

/** The next class without a name below one, else the first above. */
export function nextUnnamed(id, besides) {
  const ids = order();
  const from = ids.indexOf(id);
  const open = (other) => FILTERS.Unnamed(store.classes.get(other)) && !besides.includes(other);
  return ids.slice(from + 1).find(open) ?? ids.slice(0, Math.max(from, 0)).find(open) ?? null;
}

/** Point out the class of a region that the pointer is at on the map; null: none. */
export function hint(id) {
  for (const row of rows.values()) row.element.classList.toggle("hinted", row.id === id);
}

list.addEventListener("focusin", (event) => setCurrent(classAt(event.target)));
list.addEventListener("pointerover", (event) => {
  const found = event.target.closest(".cell");
  emit("hover", { region: found ? regionOf(found) : null, class: classAt(event.target) });
});
list.addEventListener("pointerleave", () => emit("hover", { region: null, class: null }));
