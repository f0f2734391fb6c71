// A whole photo with its regions, in the colours of their classes.

import { getPhoto, getRegions, image } from "./api.js";
import { cellsIn, regionOf } from "./cells.js";
import { find, make, swatch } from "./dom.js";
import { moveToNothing } from "./edits.js";
import { classAt, rowOf } from "./grid.js";
import { complain } from "./messages.js";
import { askClass } from "./names.js";
import { on, store, title } from "./state.js";

const dialog = find("photo");
const body = find("photo-view");
const list = find("photo-regions");

let shown = null;
let current = null;
/** The class that was opened and the place in it; null from the map. */
let origin = null;

/** Show the photo of a region; `cell` is the cut-out that was opened, where there is one. */
export function open(region, cell = null) {
  return show(region, cell && { class: classAt(cell), place: Number(cell.dataset.place) });
}

async function show(region, from) {
  current = region;
  origin = from;
  try {
    shown = await getPhoto(region);
  } catch (error) {
    complain(error.message);
    return;
  }
  if (current !== region) return;
  draw();
  if (!dialog.open) dialog.showModal();
}

const colorOf = (region) => store.classes.get(region.class)?.color ?? region.color;
const nameOf = (region) => {
  const item = store.classes.get(region.class);
  return item ? title(item) : region.name;
};

function draw() {
  find("photo-name").textContent = shown.name;
  const { width, height } = shown;
  const photo = make("image", { href: image(shown.photo), width, height, preserveAspectRatio: "none" });
  photo.addEventListener("error", () => body.append(make("p", {}, "This photo cannot be read.")));
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Photo ${shown.name} with its regions` }, photo);
  for (const region of shown.regions) {
    const color = colorOf(region);
    const path = make("path", { d: region.path, fill: color, stroke: color, "fill-rule": "evenodd", "data-region": region.id },
      make("title", {}, `${nameOf(region)}, score ${region.score.toFixed(2)}`));
    path.addEventListener("click", () => choose(region.id));
    path.addEventListener("pointerenter", () => point(region.id));
    path.addEventListener("pointerleave", () => point(null));
    svg.append(path);
  }
  body.replaceChildren(svg);
  for (const id of ["photo-before", "photo-after"]) find(id).disabled = !origin;
  list.replaceChildren(...shown.regions.map(line));
  choose(current);
}

function line(region) {
  const made = make("button", { type: "button", "data-region": region.id }, swatch(colorOf(region)),
    make("bdi", {}, nameOf(region)), make("span", { class: "soft" }, region.score.toFixed(2)));
  made.addEventListener("click", () => choose(region.id));
  made.addEventListener("pointerenter", () => point(region.id));
  made.addEventListener("pointerleave", () => point(null));
  return make("li", {}, made);
}

const parts = () => dialog.querySelectorAll("[data-region]");

function choose(id) {
  current = id;
  for (const part of parts()) {
    const chosen = regionOf(part) === id;
    part.classList.toggle("chosen", chosen);
    if (part.tagName === "BUTTON") {
      part.setAttribute("aria-pressed", String(chosen));
      if (chosen) part.scrollIntoView({ block: "nearest" });
    }
  }
}

function point(id) {
  body.classList.toggle("pointing", id !== null);
  for (const part of parts()) part.classList.toggle("pointed", regionOf(part) === id);
}

/** The cut-out before or after the one that was opened, in its class. If that has left the class, the one
 * after it has taken its place there: the server knows, whatever news of an edit has come so far. */
async function step(by) {
  if (!origin) return;
  const from = { ...origin };
  try {
    const { regions: now } = await getPhoto(current);
    const hasLeft = now.some((item) => item.id === current && item.class !== from.class);
    if (hasLeft && Number.isInteger(from.place)) from.place -= 0.5;
    const place = (by > 0 ? Math.floor : Math.ceil)(from.place + by);
    if (place < 0) return;
    const { regions } = await getRegions(from.class, place, 1);
    if (regions.length) await show(regions[0].id, { ...from, place });
  } catch (error) {
    complain(error.message);
  }
}

function toggleMasks() {
  const masks = find("photo-masks");
  const on = masks.getAttribute("aria-pressed") !== "true";
  masks.setAttribute("aria-pressed", String(on));
  body.classList.toggle("bare", !on);
}

const send = () => askClass([current], { near: find("photo-send") });
const remove = () => moveToNothing([current]);

const KEYS = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), Delete: remove, T: send, m: toggleMasks };

find("photo-before").addEventListener("click", () => step(-1));
find("photo-after").addEventListener("click", () => step(1));
find("photo-masks").addEventListener("click", toggleMasks);
find("photo-close").addEventListener("click", () => dialog.close());
find("photo-send").addEventListener("click", send);
find("photo-nothing").addEventListener("click", remove);
dialog.addEventListener("keydown", (event) => {
  const run = KEYS[event.key];
  if (!run || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  run();
});
dialog.addEventListener("close", () => {
  const row = origin && rowOf(origin.class);
  const cells = row ? cellsIn(row.strip) : [];
  (cells.find((item) => regionOf(item) === current) ?? row?.name)?.focus();
});
on("state", () => { if (dialog.open) show(current, origin); });
