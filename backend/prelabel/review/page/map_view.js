// What is drawn of the map: the points in their place, names of classes, rings around regions.

import { find } from "./dom.js";
import { legible, middles, pack, Raster, rgb } from "./map_points.js";
import { selection } from "./selection.js";
import { store } from "./state.js";
import { zoomIdentity } from "./vendor/d3.min.js";

const EDGE = 14; // CSS pixels around the points of the whole map
const MOST_NAMES = 40;
const MOST_RINGS = 3000;

const canvas = find("points");
const marks = find("marks");

/** What is shown: points (null before the first), the zoom, the region and class pointed at, and the
 * lasso as it is drawn. */
export const view = { points: null, zoom: zoomIdentity, region: null, class: null, lasso: [] };

let raster = null;
let colors = new Uint32Array();
let names = new Map();
let ink = {};
let waiting = false;
/** Milliseconds that the last frames took to draw. */
export const times = [];

/** From [0, 1] to CSS pixels of the canvas. */
export function scale() {
  const { k, x, y } = view.zoom;
  const width = canvas.clientWidth - 2 * EDGE, height = canvas.clientHeight - 2 * EDGE;
  return { kx: k * width, ky: k * height, tx: k * EDGE + x, ty: k * EDGE + y };
}

export function takePoints(points) {
  view.points = points;
  names = middles(points);
  recolor();
}

/** Take the classes' colours, and those of the page. */
export function recolor() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  ink = { page: rgb(value("--plot")), text: value("--ink"), halo: value("--plot"), accent: value("--link"), ring: pack(rgb(value("--ink"))) };
  colors = new Uint32Array(Math.max(...store.classes.keys(), -1) + 1);
  for (const item of store.classes.values()) colors[item.id] = pack(legible(rgb(item.color), ink.page));
  draw();
}

export function resize() {
  const density = Math.min(devicePixelRatio || 1, 2);
  for (const item of [canvas, marks]) {
    item.width = Math.max(Math.round(canvas.clientWidth * density), 1);
    item.height = Math.max(Math.round(canvas.clientHeight * density), 1);
  }
  raster = new Raster(canvas.width, canvas.height);
  draw();
}

/** Draw before the next frame. */
export function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    if (!view.points || !raster) return;
    const start = performance.now();
    drawPoints();
    drawMarks();
    times.push(performance.now() - start);
    if (times.length > 500) times.shift();
  });
}

function drawPoints() {
  const density = canvas.width / canvas.clientWidth;
  const { kx, ky, tx, ty } = scale();
  const place = { kx: kx * density, ky: ky * density, tx: tx * density, ty: ty * density };
  const radius = density * Math.min(Math.max(1.1 + 40 / Math.sqrt(view.points.n), 1.5) * Math.sqrt(Math.sqrt(view.zoom.k)), 5);
  const chosen = new Set([view.class ?? selection.current, ...selection.classes]);
  const pick = (strong) => colors.map((color, id) => (chosen.has(id) === strong ? color : 0));
  const halo = colors.map((color, id) => (chosen.has(id) ? ink.ring : 0));
  raster.clear(ink.page);
  raster.draw(view.points, place, pick(false), { radius, opacity: view.class === null ? 0.5 : 0.3 });
  raster.draw(view.points, place, halo, { radius: radius * 1.25 + density, opacity: 0.9 });
  raster.draw(view.points, place, pick(true), { radius: radius * 1.25, opacity: 1 });
  canvas.getContext("2d").putImageData(raster.image, 0, 0);
}

function drawMarks() {
  const context = marks.getContext("2d");
  const density = marks.width / canvas.clientWidth;
  context.setTransform(density, 0, 0, density, 0, 0);
  context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  const place = scale();
  drawNames(context, place);
  const ring = (id, radius) => {
    const { points } = view;
    if (id >= points.n) return;
    const x = points.x[id] * place.kx + place.tx, y = points.y[id] * place.ky + place.ty;
    context.moveTo(x + radius, y);
    context.arc(x, y, radius, 0, 2 * Math.PI);
  };
  context.lineWidth = 1.5;
  context.strokeStyle = ink.accent;
  context.beginPath();
  for (const id of [...selection.regions].slice(0, MOST_RINGS)) ring(id, 4);
  context.stroke();
  if (view.region !== null) {
    context.lineWidth = 2.5;
    context.strokeStyle = ink.text;
    context.beginPath();
    ring(view.region, 7);
    context.stroke();
  }
  if (view.lasso.length) drawLasso(context);
}

function drawLasso(context) {
  context.beginPath();
  for (const [x, y] of view.lasso) context.lineTo(x, y);
  context.closePath();
  context.lineWidth = 1.5;
  context.strokeStyle = ink.accent;
  context.setLineDash([5, 4]);
  context.stroke();
  context.setLineDash([]);
  context.globalAlpha = 0.12;
  context.fillStyle = ink.accent;
  context.fill();
  context.globalAlpha = 1;
}

/** Names of the largest classes that have one, where they hide no other name. */
function drawNames(context, place) {
  const named = store.state.classes.filter((item) => item.name && !item.background && names.has(item.id))
    .sort((a, b) => b.count - a.count).slice(0, MOST_NAMES);
  const taken = [];
  context.font = `600 13px ${getComputedStyle(document.body).fontFamily}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  for (const item of named) {
    const text = item.name.length > 24 ? `${item.name.slice(0, 23)}…` : item.name;
    const half = context.measureText(text).width / 2 + 4;
    const at = names.get(item.id).x * place.kx + place.tx, y = names.get(item.id).y * place.ky + place.ty;
    if (at < 0 || at > canvas.clientWidth) continue;
    const x = Math.min(Math.max(at, half), canvas.clientWidth - half);
    if (taken.some((other) => Math.abs(other.x - x) < other.half + half && Math.abs(other.y - y) < 18)) continue;
    taken.push({ x, y, half });
    context.lineWidth = 4;
    context.strokeStyle = ink.halo;
    context.strokeText(text, x, y);
    context.fillStyle = ink.text;
    context.fillText(text, x, y);
  }
}
