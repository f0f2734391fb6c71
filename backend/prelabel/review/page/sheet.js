// A class's contact sheet: one line with the closest and the farthest cut-outs, or all of them.

import { getRegions } from "./api.js";
import { cell, cellsIn } from "./cells.js";
import { button, find, make, number } from "./dom.js";

const PER_REQUEST = 200;
const GAP = 6;

const inView = new Map();
const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) inView.get(entry.target)?.();
  }
}, { root: find("scroller"), rootMargin: "600px 0px" });

/** Call a function whenever an element comes near the view. */
export function whenNear(element, run) {
  inView.set(element, run);
  observer.observe(element);
}

/** Look again, although the element may be near already. */
function lookAgain(element) {
  if (!inView.has(element)) return; // its class is gone
  observer.unobserve(element);
  observer.observe(element);
}

export function forget(element) {
  observer.unobserve(element);
  inView.delete(element);
}

/** How many cells one line holds, and their size in CSS pixels, so that a line is full. */
export const layout = { columns: 8, size: 84 };

/** Take the width of a line, and the least size of a cell; true if anything changed. */
export function measure(width, least) {
  const columns = Math.max(Math.floor((width + GAP) / (least + GAP)), 3);
  const size = Math.floor((100 * (width - (columns - 1) * GAP)) / columns) / 100;
  const changed = columns !== layout.columns || size !== layout.size;
  Object.assign(layout, { columns, size });
  document.documentElement.style.setProperty("--cell", `${size}px`);
  return changed;
}

const outliers = () => (layout.columns >= 9 ? 3 : layout.columns >= 6 ? 2 : 1);

export class Sheet {
  /** In an element, of a class; `onExpand` is called when the reader wants all of it. */
  constructor(element, id, onExpand) {
    Object.assign(this, { element, id, onExpand, total: 0, expanded: false, stale: true, asked: 0 });
    whenNear(element, () => this.load());
  }

  /** What is shown is out of date; it is loaded again when it is near the view. */
  renew(total) {
    this.total = total;
    this.stale = true;
    lookAgain(this.element);
  }

  toggle(expanded) {
    this.expanded = expanded;
    this.stale = true;
    return this.load();
  }

  async load() {
    if (!this.stale) return;
    this.stale = false;
    const asked = ++this.asked;
    try {
      if (this.expanded) this.placeChunks();
      else await this.placeLine(() => asked === this.asked);
    } catch {
      this.stale = true; // the message about the connection stands; it is tried when in view again
      setTimeout(() => { if (this.stale) lookAgain(this.element); }, 1000);
    }
  }

  async placeLine(current) {
    const { columns } = layout;
    const fits = this.total <= columns;
    const tail = fits ? 0 : outliers();
    const head = fits ? columns : columns - tail - 1;
    const [first, last] = await Promise.all([
      getRegions(this.id, 0, head), tail ? getRegions(this.id, this.total - tail, tail) : null]);
    if (!current()) return;
    const cells = first.regions.map((region, i) => cell(region, i, first.total));
    if (last) {
      const rest = first.total - head - tail;
      const more = button(`+${number(rest)}`, this.onExpand, {
        class: "rest", tabindex: "-1", title: "Show all cut-outs; the last ones are farthest from the middle of the class",
        "aria-label": `+${number(rest)} outliers › Show all cut-outs` });
      more.append(make("small", {}, "outliers ›"));
      cells.push(more);
      last.regions.forEach((region, i) => {
        const made = cell(region, first.total - tail + i, first.total);
        made.classList.add("outlier");
        cells.push(made);
      });
    }
    this.put(this.element, cells);
  }

  /** Room for all cut-outs; each block of lines is filled when it is near the view. Blocks that are
   * there stay, so that nothing moves while they are filled anew. */
  placeChunks() {
    const { columns, size } = layout;
    const per = Math.max(Math.floor(PER_REQUEST / columns), 1) * columns;
    if (!this.element.querySelector(".chunk")) this.element.replaceChildren();
    const chunks = [...this.element.children];
    for (let offset = 0; offset < this.total; offset += per) {
      const n = Math.min(per, this.total - offset);
      const chunk = chunks.shift() ?? this.element.appendChild(make("div", { class: "chunk" }));
      const height = Math.ceil(n / columns) * (size + GAP) - GAP;
      chunk.style.containIntrinsicHeight = `auto ${height}px`;
      if (!chunk.children.length) chunk.style.minHeight = `${height}px`;
      forget(chunk);
      whenNear(chunk, () => this.fill(chunk, offset, n));
    }
    for (const chunk of chunks) chunk.remove();
  }

  async fill(chunk, offset, n) {
    forget(chunk);
    try {
      const { regions, total } = await getRegions(this.id, offset, n);
      this.put(chunk, regions.map((region, i) => cell(region, offset + i, total)));
      chunk.style.minHeight = "";
    } catch {
      setTimeout(() => whenNear(chunk, () => this.fill(chunk, offset, n)), 1000);
    }
  }

  /** Replace what an element holds; the focus stays at its place. Images that are shown already
   * are taken over, so that nothing flickers. */
  put(element, children) {
    const old = cellsIn(element);
    const focused = old.find((item) => item === document.activeElement);
    const images = new Map(old.map((item) => [item.dataset.region, item.firstChild]));
    element.replaceChildren(...children);
    const cells = cellsIn(element);
    for (const item of cells) {
      const known = images.get(item.dataset.region);
      if (known && known.src === item.firstChild.src) item.replaceChildren(known);
    }
    if (!focused) return;
    const same = cells.find((item) => item.dataset.region === focused.dataset.region);
    (same ?? cells[Math.min(old.indexOf(focused), cells.length - 1)])?.focus({ preventScroll: true });
  }
}
