// What is selected, and what can be done with it; while cut-outs are dragged, places to drop them.

import { thumbnail } from "./api.js";
import { button, count, find, make } from "./dom.js";
import { background, merge, move, moveToNothing, split } from "./edits.js";
import { askClass, askName } from "./names.js";
import { clear, selection } from "./selection.js";
import { on } from "./state.js";

const PREVIEW = 7;
const tray = find("tray");

function previews(regions) {
  const shown = make("span", { class: "previews", "aria-hidden": "true" });
  for (const id of regions.slice(0, PREVIEW)) shown.append(make("img", { src: thumbnail(id), alt: "" }));
  if (regions.length > PREVIEW) shown.append(`+${regions.length - PREVIEW}`);
  return shown;
}

function forRegions(open) {
  const regions = [...selection.regions];
  return [
    make("strong", {}, count(regions.length, "cut-out")),
    previews(regions),
    button("Send to…", () => askClass(regions, { near: tray }), { title: "Shift+T, or type a name" }),
    button("New class", () => move(regions, null)),
    button("Split off", split, { title: "Those of the current class leave it (Shift+S)" }),
    button("Nothing", () => moveToNothing(regions), { title: "These are nothing, background (Delete)" }),
    ...(regions.length === 1 ? [button("Photo", () => open(regions[0]))] : []),
    button("Clear", clear, { title: "Escape" }),
  ];
}

function forClasses() {
  const classes = [...selection.classes];
  return [
    make("strong", {}, count(classes.length, "class", "classes")),
    button("Name…", () => askName(), { title: "Type a letter" }),
    button("Merge", merge, { title: "Shift+M", ...(classes.length < 2 && { disabled: "" }) }),
    button("Nothing", () => background(classes), { title: "Delete" }),
    button("Clear", clear, { title: "Escape" }),
  ];
}

function draw(open) {
  const parts = selection.regions.size ? forRegions(open) : selection.classes.size ? forClasses() : [];
  // A button that had the focus gives it to the button in its place.
  const place = [...tray.querySelectorAll("button")].indexOf(document.activeElement);
  tray.replaceChildren(...parts);
  tray.hidden = !parts.length;
  if (place >= 0) (tray.querySelectorAll("button")[place] ?? document.querySelector(".row.current .name"))?.focus({ preventScroll: true });
}

function drawDrop(open, dragging) {
  if (!dragging) return draw(open);
  tray.hidden = false;
  tray.replaceChildren(make("strong", {}, count(selection.regions.size, "cut-out")),
    make("span", { class: "drop", "data-drop": "new" }, "Drop here: a new class"),
    make("span", { class: "drop", "data-drop": "nothing" }, "Drop here: nothing"));
}

export function start(open) {
  on("selection", () => draw(open));
  on("drag", (dragging) => drawDrop(open, dragging));
}
