const PER_STEP = 24;

const data = JSON.parse(document.getElementById("data").textContent);
const byName = new Intl.Collator("en", { numeric: true });
const [sort, text, masks] = ["sort", "text", "masks"].map((id) => document.getElementById(id));
const cards = document.getElementById("cards");
const more = document.getElementById("more");
let listed = [];

function region([color, score, d]) {
  const path = make("path", { d, "fill-rule": "evenodd" }, make("title", {}, `score ${score.toFixed(2)}`));
  path.style.fill = color;
  return path;
}

function card(photo) {
  const name = visible(photo.name);
  const row = make("div", { class: "settings" }, ...photo.regions.map((own, column) =>
    frame(photo, `${visible(data.columns[column])}: ${own.length} region${own.length === 1 ? "" : "s"}`, own.map(region))));
  return make("article", { class: "card", "aria-label": name }, row,
    make("h3", { title: name }, make("bdi", {}, name)),
    make("p", { class: "soft" }, `difference ${(100 * photo.difference).toFixed(1)} %`));
}

const mostRegions = (photo) => Math.max(...photo.regions.map((own) => own.length));
const orders = {
  difference: (a, b) => b.difference - a.difference,
  regions: (a, b) => mostRegions(b) - mostRegions(a),
  name: () => 0,
};

function list() {
  const wanted = text.value.toLowerCase();
  listed = data.photos.filter((photo) => photo.name.toLowerCase().includes(wanted));
  listed.sort((a, b) => orders[sort.value](a, b) || byName.compare(a.name, b.name));
  cards.replaceChildren();
  show();
}

function show() {
  const from = cards.children.length;
  cards.append(...listed.slice(from, from + PER_STEP).map(card));
  more.hidden = cards.children.length >= listed.length;
  document.getElementById("range").textContent = listed.length
    ? `${cards.children.length} of ${listed.length} photos` : "No photo fits.";
}

function showMasks() {
  cards.classList.toggle("bare", !masks.checked);
}

document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());
for (const control of [sort, text]) control.addEventListener("input", list);
masks.addEventListener("change", showMasks);
more.addEventListener("click", show);
document.addEventListener("keydown", (event) => {
  if (event.key !== "m" || event.ctrlKey || event.metaKey || event.altKey || event.target === text) return;
  masks.checked = !masks.checked;
  showMasks();
});
list();
