const PER_STEP = 24;

const data = JSON.parse(document.getElementById("data").textContent);
const byName = new Intl.Collator("en", { numeric: true });
const controls = ["class", "sort", "text"].map((id) => document.getElementById(id));
const [chosen, sort, text] = controls;
const more = document.getElementById("more");
let listed = [];

function className(index) {
  return index < 0 ? "no class" : data.classes[index].name;
}

// Photos ---------------------------------------------------------------------------------------

/** A mask in its class's colour; its title says what it is. */
function mask(d, index, title) {
  const path = make("path", { d, "fill-rule": "evenodd", "data-class": index }, make("title", {}, title));
  if (index < 0) path.classList.add("none");
  else path.style.fill = data.classes[index].color;
  return path;
}

function difference(photo) {
  return Object.entries(photo.difference).filter(([, d]) => d)
    .map(([kind, d]) => make("path", { d, class: kind, "fill-rule": "evenodd" }));
}

function count(n, noun) {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}

function work(photo) {
  if (!photo.steps) return measured(photo);
  const kept = photo.steps.filter((step) => step === 3).length;
  const redrawn = photo.steps.filter((step) => step === 0).length;
  return [
    measured(photo),
    `${count(photo.steps.length, "object")}: ${kept} kept as is, ${photo.steps.length - kept - redrawn} touched up, ${redrawn} redrawn`,
    count(photo.false, "false region"),
    photo.saved < 0 ? `${-photo.saved} s lost` : `${photo.saved} s saved`,
  ].join(" · ");
}

function card(photo) {
  const name = visible(photo.name);
  const truth = photo.truth.map(([index, d]) => mask(d, index, className(index)));
  const found = photo.found.map(([cluster, index, score, d]) =>
    mask(d, index, `${cluster}, taken for ${className(index)}, score ${score.toFixed(2)}`));
  return make("article", { class: "card", "aria-label": name },
    make("div", { class: "triple" },
      frame(photo, "ground truth", truth),
      frame(photo, "prediction", found),
      frame(photo, "difference", difference(photo))),
    make("h3", { title: name }, make("bdi", {}, name)),
    make("p", { class: "soft" }, work(photo)));
}

/** What the card says of the photo's quality. */
function measured(photo) {
  const number = quality(photo).toFixed(3);
  if (chosen.value !== "all") return `IoU ${number} of ${className(Number(chosen.value))}`;
  return photo.empty ? `no object; ${number} of it left free` : `IoU ${number}`;
}

/** What photos are ordered by: the chosen class's IoU, else that of the foreground. */
function quality(photo) {
  return chosen.value === "all" ? photo.quality : photo.ious[chosen.value];
}

const orders = {
  worst: (a, b) => quality(a) - quality(b),
  best: (a, b) => quality(b) - quality(a),
  saved: (a, b) => a.saved - b.saved,
  name: (a, b) => byName.compare(a.name, b.name),
};

function list() {
  listed = data.photos.filter((photo) =>
    (chosen.value === "all" || chosen.value in photo.ious)
    && photo.name.toLowerCase().includes(text.value.toLowerCase()));
  listed.sort((a, b) => orders[sort.value](a, b) || byName.compare(a.name, b.name));
  document.getElementById("cards").replaceChildren();
  show();
}

function show() {
  const cards = document.getElementById("cards");
  const from = cards.children.length;
  cards.append(...listed.slice(from, from + PER_STEP).map(card));
  more.hidden = cards.children.length >= listed.length;
  document.getElementById("range").textContent = listed.length
    ? `${cards.children.length} of ${listed.length} photos` : "No photo fits.";
}

const present = new Set(data.photos.flatMap((photo) => Object.keys(photo.ious)));
chosen.append(...data.classes.map((item, index) => [item, index])
  .filter(([, index]) => present.has(String(index)))
  .map(([item, index]) => make("option", { value: index }, visible(item.name))));
document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());
for (const control of controls) control.addEventListener("input", list);
more.addEventListener("click", show);
list();
