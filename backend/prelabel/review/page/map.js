// The map of all regions: zoom, lasso, thumbnails, and its links with the list of classes.

import { getMap, thumbnail } from "./api.js";
import { count, find } from "./dom.js";
import { hint, showClass } from "./grid.js";
import { inside } from "./map_lasso.js";
import { readPoints } from "./map_points.js";
import { draw, recolor, resize, scale, takePoints, times, view } from "./map_view.js";
import { say } from "./messages.js";
import { clear, selectOnly, selectRegions, selection } from "./selection.js";
import { on, store, title } from "./state.js";
import { pointer, quadtree, select, zoom, zoomIdentity } from "./vendor/d3.min.js";

const NEAR = 14; // CSS pixels between the pointer and a point that it is at
const canvas = find("points");
const tip = find("tip");
const lassoButton = find("lasso");

let tree = null;
let stale = true;
let loading = false;
let lassoing = false;
let drawn = false; // the click that follows is the end of a lasso

const zooming = zoom()
  .scaleExtent([1, 400])
  .filter((event) => !lassoing && !event.shiftKey && !event.button)
  .on("zoom", ({ transform }) => {
    view.zoom = transform;
    leave();
    draw();
  });

// Points ---------------------------------------------------------------------------------------

/** Load the points again if regions went from class to class, but only while they are shown. */
async function load() {
  if (!stale || loading || !store.state?.map.ready || find("map").hidden) return;
  loading = true;
  stale = false;
  try {
    const points = readPoints(await getMap());
    if (points.n !== view.points?.n || points.x[0] !== view.points.x[0]) tree = null;
    takePoints(points);
    find("map-note").hidden = true;
    canvas.setAttribute("aria-label", `Map: each of ${count(points.n, "point")} is a region, near to those that look alike`);
  } catch {
    stale = true; // with the next answer of the server
  }
  loading = false;
}

function update({ before }) {
  const { classes } = store.state;
  const moved = classes.length !== before.size
    || classes.some(({ id, count: n, score }) => before.get(id)?.count !== n || before.get(id).score !== score);
  stale ||= moved;
  if (view.points) recolor();
  load();
}

/** The region that a place of the canvas is at, or null. */
function regionAt([x, y]) {
  if (!view.points) return null;
  const { points } = view;
  tree ??= quadtree(Uint32Array.from({ length: points.n }, (_, i) => i), (i) => points.x[i], (i) => points.y[i]);
  const { kx, ky, tx, ty } = scale();
  // The map is stretched: the nearest in its own measure may be outside of the circle on the screen.
  const found = tree.find((x - tx) / kx, (y - ty) / ky, NEAR / Math.min(kx, ky));
  if (found === undefined) return null;
  const away = Math.hypot(points.x[found] * kx + tx - x, points.y[found] * ky + ty - y);
  return away <= NEAR ? found : null;
}

// Pointer --------------------------------------------------------------------------------------

function leave() {
  tip.hidden = true;
  if (view.region === null) return;
  view.region = view.class = null;
  hint(null);
  draw();
}

function pointAt(event) {
  if (view.lasso.length || event.buttons) return;
  const region = regionAt(pointer(event, canvas));
  if (region === null) return leave();
  if (region !== view.region) {
    const item = store.classes.get(view.points.class[region]);
    view.region = region;
    hint(item?.id ?? null);
    tip.querySelector("img").src = thumbnail(region);
    tip.querySelector("p").textContent = item ? title(item) : "";
    draw();
  }
  tip.hidden = false;
  const [width, height] = [tip.offsetWidth, tip.offsetHeight];
  const left = event.clientX + 18 + width > innerWidth ? event.clientX - width - 18 : event.clientX + 18;
  tip.style.left = `${Math.max(left, 4)}px`;
  tip.style.top = `${Math.max(Math.min(event.clientY - height / 2, innerHeight - height - 8), 4)}px`;
}

/** Go to a point's class in the list, with the region selected. */
function click(event) {
  if (event.shiftKey || lassoing || drawn) return;
  const region = regionAt(pointer(event, canvas));
  if (region === null) return;
  if (event.ctrlKey || event.metaKey) selectRegions([region], !selection.regions.has(region));
  else {
    selectOnly([region]);
    showClass(view.points.class[region]);
  }
}

// Lasso ----------------------------------------------------------------------------------------

function setLasso(active) {
  lassoing = active;
  lassoButton.setAttribute("aria-pressed", String(active));
  canvas.classList.toggle("lassoing", active);
}

function startLasso(event) {
  drawn = false;
  if (!view.points || event.button || !(lassoing || event.shiftKey)) return;
  canvas.setPointerCapture(event.pointerId);
  leave();
  view.lasso = [pointer(event, canvas)];
  event.preventDefault();
}

function moveLasso(event) {
  if (!view.lasso.length) return pointAt(event);
  view.lasso.push(pointer(event, canvas));
  draw();
}

function endLasso(event) {
  if (!view.lasso.length) return;
  const outline = view.lasso;
  view.lasso = [];
  drawn = true;
  draw();
  if (event.type === "pointercancel" || outline.length < 3) return;
  const found = inside(outline, view.points, scale());
  setLasso(false);
  if (!found.length) {
    clear();
    say("No region lies inside of the lasso.");
    return;
  }
  selectOnly(found);
  const classes = new Set(found.map((id) => view.points.class[id]));
  say(`${count(found.length, "cut-out")} of ${count(classes.size, "class", "classes")} selected.`);
  if (classes.size === 1) showClass([...classes][0]);
}

// Keys and buttons -------------------------------------------------------------------------------

function press(event) {
  const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
  const { k } = view.zoom;
  if (step && !event.shiftKey) zooming.translateBy(select(canvas), step[0] / k, step[1] / k);
  else if (event.key === "+" || event.key === "-") zoomBy(event.key === "+" ? 1.5 : 1 / 1.5);
  else if (event.key === "0") showAll();
  else return;
  event.preventDefault();
}

const zoomBy = (factor) => zooming.scaleBy(select(canvas), factor);
const showAll = () => zooming.transform(select(canvas), zoomIdentity);

function toggle() {
  const map = find("map");
  map.hidden = !map.hidden;
  document.body.classList.toggle("without-map", map.hidden);
  find("show-map").setAttribute("aria-pressed", String(!map.hidden));
  load();
}

function fit() {
  if (!canvas.clientWidth) return;
  const size = [[0, 0], [canvas.clientWidth, canvas.clientHeight]];
  zooming.extent(size).translateExtent(size);
  resize();
}

export function start() {
  select(canvas).call(zooming).on("dblclick.zoom", null);
  for (const [type, run] of Object.entries({
    pointerdown: startLasso, pointermove: moveLasso, pointerup: endLasso, pointercancel: endLasso,
    pointerleave: leave, click, keydown: press })) canvas.addEventListener(type, run);
  lassoButton.addEventListener("click", () => setLasso(!lassoing));
  find("zoom-in").addEventListener("click", () => zoomBy(1.5));
  find("zoom-out").addEventListener("click", () => zoomBy(1 / 1.5));
  find("zoom-all").addEventListener("click", showAll);
  find("show-map").addEventListener("click", toggle);
  new ResizeObserver(fit).observe(find("plot"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolor);
  on("state", update);
  on("selection", draw);
  on("hover", (at) => {
    if (view.region === at.region && view.class === at.class) return;
    view.region = at.region;
    view.class = at.class;
    draw();
  });
  // For whoever measures: how long the last frames took to draw.
  canvas.frameTimes = times;
}
