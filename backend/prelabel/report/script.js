const PER_PAGE = 60;
const PER_SHEET = 48;

const data = JSON.parse(document.getElementById("data").textContent);
const classById = new Map(data.classes.map((item) => [item.id, item]));
const photos = data.photos;
photos.forEach((photo, index) => { photo.index = index; });
const byName = new Intl.Collator("en", { numeric: true });
const tip = document.getElementById("tip");
const controls = ["sort", "show", "text"].map((id) => document.getElementById(id));
const [sort, show, text] = controls;

let listed = photos;
let page = 0;

// Words ----------------------------------------------------------------------------------------

function number(n) {
  return n.toLocaleString("en").replaceAll(",", "\u202f");
}

function count(n, noun) {
  return `${number(n)} ${noun}${n === 1 ? "" : "s"}`;
}

function describe([cluster, score]) {
  return `${classById.get(cluster).name} · ${score.toFixed(2)}`;
}

// Contact sheets -------------------------------------------------------------------------------

const whenNear = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    whenNear.unobserve(target);
    const [photo, region] = target.dataset.jump.split("-").map(Number);
    drawCut(target, photos[photo], region);
  }
}, { rootMargin: "600px" });

/** Show one cell of the photo's sprite as the element's background. */
function drawCut(element, photo, region) {
  if (!photo.cuts || region >= data.sprite.cells) return element.classList.add("missing");
  const cells = Math.min(photo.regions.length, data.sprite.cells);
  const columns = Math.min(cells, data.sprite.columns);
  const rows = Math.ceil(cells / data.sprite.columns);
  const column = region % data.sprite.columns;
  const row = Math.floor(region / data.sprite.columns);
  const share = (at, of) => (of > 1 ? (100 * at) / (of - 1) : 0);
  element.style.backgroundImage = `url("${photo.cuts}")`;
  element.style.backgroundSize = `${100 * columns}% ${100 * rows}%`;
  element.style.backgroundPosition = `${share(column, columns)}% ${share(row, rows)}%`;
}

function cell({ photo, region }) {
  const label = `${photo.regions[region][1].toFixed(2)}, ${visible(photo.name)}`;
  const link = make("a", {
    class: "cell",
    href: `#photo-${photo.index}-${region}`,
    "data-jump": `${photo.index}-${region}`,
    "aria-label": label,
    title: label,
  });
  whenNear.observe(link);
  return link;
}

function sheet(item, members) {
  members.sort((a, b) => b.photo.regions[b.region][1] - a.photo.regions[a.region][1]);
  const inPhotos = new Set(members.map((member) => member.photo)).size;
  const cells = make("div", { class: "cells" }, ...members.slice(0, PER_SHEET).map(cell));
  const only = make("button", { type: "button", class: "quiet" }, "show these photos");
  only.addEventListener("click", () => { showOnly(String(item.id)); });
  const head = make("div", { class: "sheet-head" },
    make("h3", {}, swatch(item), item.name),
    make("span", { class: "soft" }, `${count(members.length, "region")} in ${count(inPhotos, "photo")}`),
    only);
  const section = make("section", { class: "sheet", id: `class-${item.id}` }, head, cells);
  if (members.length > PER_SHEET) {
    const more = make("button", { type: "button", "aria-expanded": "false" }, `Show all ${number(members.length)}`);
    more.addEventListener("click", () => {
      const open = more.getAttribute("aria-expanded") === "false";
      more.setAttribute("aria-expanded", String(open));
      more.textContent = open ? `Show the first ${PER_SHEET} only` : `Show all ${number(members.length)}`;
      if (open) cells.append(...members.slice(PER_SHEET).map(cell));
      else while (cells.children.length > PER_SHEET) cells.lastChild.remove();
    });
    section.append(more);
  }
  return section;
}

function swatch(item) {
  const mark = make("i", { class: "swatch" });
  mark.style.background = item.color;
  return mark;
}

function drawSheets() {
  const members = new Map(data.classes.map((item) => [item.id, []]));
  for (const photo of photos) {
    photo.regions.forEach(([cluster], region) => members.get(cluster).push({ photo, region }));
  }
  const sheets = data.classes.filter((item) => members.get(item.id).length);
  document.getElementById("sheets").append(
    ...sheets.map((item) => sheet(item, members.get(item.id))));
  if (!sheets.length) document.getElementById("sheets").append(make("p", {}, "No regions were found."));
  show.append(...sheets.map((item) =>
    make("option", { value: item.id }, `${item.name} (${number(members.get(item.id).length)})`)));
}

// Photos ---------------------------------------------------------------------------------------

function picture(photo, ...overlay) {
  const frame = make("div", { class: "frame" });
  const aspect = Math.min(Math.max(photo.width / photo.height, 0.75), 1.8);
  frame.style.aspectRatio = String(aspect);
  if (photo.thumb) {
    frame.append(make("img", { src: photo.thumb, alt: "", loading: "lazy", decoding: "async" }));
  } else {
    frame.classList.add("missing");
  }
  frame.append(...overlay);
  return frame;
}

function overlay(photo) {
  const svg = make("svg", {
    viewBox: `0 0 ${photo.view[0]} ${photo.view[1]}`,
    role: "img",
    "aria-label": photo.regions.length
      ? `Regions: ${photo.regions.map(describe).join(", ")}` : "No regions",
  });
  photo.regions.forEach(([cluster, , d], region) => {
    const color = classById.get(cluster).color;
    svg.append(make("path", { d, fill: color, "fill-rule": "evenodd", "data-region": region }));
  });
  return svg;
}

const MAX_CHIPS = 8;

function chips(photo) {
  const list = make("div", { class: "chips" });
  photo.regions.slice(0, MAX_CHIPS).forEach((region, i) => {
    list.append(make("a", { class: "chip", href: `#class-${region[0]}`, "data-region": i },
      swatch(classById.get(region[0])), describe(region)));
  });
  const more = photo.regions.length - MAX_CHIPS;
  if (more > 0) list.append(make("span", { class: "soft" }, `and ${more} more`));
  if (!photo.regions.length) list.append(make("span", { class: "soft" }, "no region"));
  return list;
}

function card(photo) {
  const name = visible(photo.name);
  const score = photo.regions.length ? `score ${photo.score.toFixed(2)} · ` : "";
  return make("article", { class: "card", id: `photo-${photo.index}`, tabindex: "-1", "aria-label": name },
    make("div", { class: "pair" }, picture(photo), picture(photo, overlay(photo))),
    make("h3", { title: name }, make("bdi", {}, name)),
    make("p", { class: "soft" },
      `${score}${Math.round(100 * photo.foreground)} % foreground · ${photo.width} × ${photo.height}`),
    chips(photo));
}

const orders = {
  // Photos without regions have no score to speak of: they come last both ways.
  "score-down": (a, b) => !a.regions.length - !b.regions.length || b.score - a.score,
  "score-up": (a, b) => !a.regions.length - !b.regions.length || a.score - b.score,
  name: (a, b) => byName.compare(a.name, b.name),
  "regions-down": (a, b) => b.regions.length - a.regions.length,
  "regions-up": (a, b) => a.regions.length - b.regions.length,
};

function passes(photo) {
  if (!photo.name.toLowerCase().includes(text.value.toLowerCase())) return false;
  if (show.value === "all") return true;
  if (show.value === "empty") return photo.regions.length === 0;
  return photo.regions.some(([cluster]) => cluster === Number(show.value));
}

/** Take the controls' values anew, from the first page. */
function list() {
  listed = photos.filter(passes).sort(
    (a, b) => orders[sort.value](a, b) || byName.compare(a.name, b.name));
  turnTo(0);
}

function turnTo(index) {
  const last = Math.max(Math.ceil(listed.length / PER_PAGE) - 1, 0);
  page = Math.min(Math.max(index, 0), last);
  const from = page * PER_PAGE;
  const shown = listed.slice(from, from + PER_PAGE);
  document.getElementById("cards").replaceChildren(...shown.map(card));
  document.getElementById("range").textContent = listed.length
    ? `${number(from + 1)}–${number(from + shown.length)} of ${count(listed.length, "photo")}`
    : "No photo fits.";
  for (const button of document.querySelectorAll("[data-step]")) {
    button.disabled = button.dataset.step < 0 ? page === 0 : page === last;
    button.hidden = last === 0;
  }
}

function showOnly(value) {
  show.value = value;
  text.value = "";
  list();
  document.getElementById("photos").scrollIntoView();
  show.focus({ preventScroll: true });
}

/** Bring a photo into view and mark one of its regions; filters that hide it are taken off. */
function jump(index, region) {
  if (!photos[index]) return;
  if (!listed.includes(photos[index])) {
    show.value = "all";
    text.value = "";
    list();
  }
  turnTo(Math.floor(listed.indexOf(photos[index]) / PER_PAGE));
  const target = document.getElementById(`photo-${index}`);
  target.classList.add("target");
  target.dataset.chosen = region;
  target.scrollIntoView({ block: "center" });
  target.focus({ preventScroll: true });
  mark(target, region);
}

/** Make one region of a card stand out; none with -1. */
function mark(element, region) {
  element.classList.toggle("marking", region >= 0);
  for (const path of element.querySelectorAll("path")) {
    path.classList.toggle("marked", Number(path.dataset.region) === region);
  }
}

// Events ---------------------------------------------------------------------------------------

function follow() {
  const found = /^#photo-(\d+)-(\d+)$/.exec(location.hash);
  if (found) jump(Number(found[1]), Number(found[2]));
}

document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());
for (const control of controls) control.addEventListener("input", list);
for (const button of document.querySelectorAll("[data-step]")) {
  button.addEventListener("click", () => {
    turnTo(page + Number(button.dataset.step));
    document.getElementById("photos").scrollIntoView();
  });
}
addEventListener("hashchange", follow);
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-jump]");
  // The same address again is no change of hash.
  if (link && link.hash === location.hash) follow();
});

let hovered = null;

/** Mark the region under the pointer or focus; leaving a card gives it its chosen region back. */
function hover(event) {
  const part = event.target.closest?.(".card [data-region]");
  const home = part?.closest(".card") ?? null;
  if (hovered && hovered !== home) mark(hovered, Number(hovered.dataset.chosen ?? -1));
  if (home) mark(home, Number(part.dataset.region));
  hovered = home;
  const over = part?.closest("svg");
  tip.hidden = !over;
  if (!over) return;
  const photo = photos[Number(home.id.slice("photo-".length))];
  tip.textContent = describe(photo.regions[Number(part.dataset.region)]);
  const right = document.documentElement.clientWidth - tip.offsetWidth - 8;
  tip.style.left = `${Math.max(Math.min(event.clientX + 14, right), 8)}px`;
  tip.style.top = `${Math.max(event.clientY - tip.offsetHeight - 10, 8)}px`;
}
document.addEventListener("pointermove", hover);
document.addEventListener("focusin", hover);

drawSheets();
list();
follow();
