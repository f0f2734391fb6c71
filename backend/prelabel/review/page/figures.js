// Histograms of scores and sizes, class by class.

import { getFigures } from "./api.js";
import { find, make, number, swatch } from "./dom.js";
import { complain } from "./messages.js";
import { store, title } from "./state.js";

const WIDTH = 200;
const HEIGHT = 36;

/** Leave out the first bins if no class has anything in them. */
function trim(figures, kind, edges) {
  const filled = figures.classes.map((item) => item[kind].findIndex((n) => n > 0)).filter((place) => place >= 0);
  const from = Math.min(...filled, figures[edges].length - 2);
  figures[edges] = figures[edges].slice(from);
  for (const item of figures.classes) item[kind] = item[kind].slice(from);
}

/** Bars of the counts; the highest one fills the height. */
function histogram(counts, edges, color, label, format) {
  const highest = Math.max(...counts, 1);
  const step = WIDTH / counts.length;
  const svg = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
  counts.forEach((n, i) => {
    const height = n ? Math.max((HEIGHT * n) / highest, 1.5) : 0;
    svg.append(make("rect", { x: i * step + 0.5, y: HEIGHT - height, width: step - 1, height, fill: color },
      make("title", {}, `${format(edges[i])} to ${format(edges[i + 1])}: ${number(n)}`)));
  });
  return svg;
}

const share = (value) => value.toFixed(2);
const pixels = (value) => `${number(value)} px`;

function scale(edges, format) {
  const middle = edges[Math.floor(edges.length / 2)];
  return make("div", { class: "scale", "aria-hidden": "true" },
    ...[edges[0], middle, edges.at(-1)].map((value) => make("span", {}, format(value))));
}

function line(item, found, figures) {
  const name = title(item);
  return make("tr", {},
    make("th", { scope: "row" }, swatch(item.color), make("bdi", {}, name)),
    make("td", { class: "n" }, number(item.count)),
    make("td", { class: "n" }, item.score.toFixed(2)),
    make("td", {}, histogram(found.scores, figures.score_edges, item.color, `Scores of ${name}`, share)),
    make("td", {}, histogram(found.sizes, figures.size_edges, item.color, `Sizes of ${name}`, pixels)));
}

function table(figures) {
  const found = new Map(figures.classes.map((item) => [item.id, item]));
  const classes = store.state.classes.filter((item) => found.has(item.id)).sort((a, b) => b.count - a.count);
  const head = ["Class", "Regions", "Score"].map((text) => make("th", { scope: "col" }, text));
  return make("table", {},
    make("thead", {}, make("tr", {}, ...head,
      make("th", { scope: "col" }, "Scores", scale(figures.score_edges, share)),
      make("th", { scope: "col" }, "Sizes", scale(figures.size_edges, pixels)))),
    make("tbody", {}, ...classes.map((item) => line(item, found.get(item.id), figures))));
}

export async function openFigures() {
  try {
    const figures = await getFigures();
    trim(figures, "sizes", "size_edges");
    find("figures-body").replaceChildren(table(figures));
  } catch (error) {
    complain(error.message);
    return;
  }
  find("figures").showModal();
}
