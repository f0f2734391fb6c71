// Names that can be given: those of the label config, then those in use; and the boxes that ask.

import { button, count, find, make, swatch } from "./dom.js";
import { background, move, moveToName, nameClasses } from "./edits.js";
import { focusClass, nextUnnamed, rowOf } from "./grid.js";
import { ask } from "./name_box.js";
import { chosenClasses, selection } from "./selection.js";
import { on, store, title } from "./state.js";

const DIGITS = 9;
const COMMANDS = { m: "merges the selected classes", s: "splits a class", u: "undoes", t: "sends cut-outs" };

/** Every name with its colour, once. */
export function knownNames() {
  const found = new Map();
  for (const label of store.state.labels) found.set(label.name, { ...label, note: "" });
  for (const item of store.state.classes) {
    if (item.name && !item.background && !found.has(item.name)) {
      found.set(item.name, { name: item.name, color: item.color, note: "" });
    }
  }
  return [...found.values()];
}

const hint = (typed) => (COMMANDS[typed] ? `Shift+${typed.toUpperCase()} ${COMMANDS[typed]}.` : "Enter gives the name that is written; Tab completes it.");

/** Name the chosen classes and go on to the next one without a name. */
export function give(name) {
  const classes = chosenClasses();
  if (!classes.length) return;
  const next = nextUnnamed(selection.current, classes);
  nameClasses(classes, name);
  if (next !== null) focusClass(next);
}

/** A name was chosen: it is for the selected cut-outs, else for the chosen classes. */
export function use(name) {
  if (selection.regions.size) moveToName([...selection.regions], name);
  else give(name);
}

/** Say that the chosen classes are nothing, and go on to the next one without a name. */
export function giveNothing() {
  const classes = chosenClasses();
  if (!classes.length) return;
  const next = nextUnnamed(selection.current, classes);
  background(classes);
  if (next !== null) focusClass(next);
}

/** Open the box for the chosen classes' name. */
export function askName(typed = "") {
  const classes = chosenClasses();
  if (!classes.length) return;
  const one = classes.length === 1 ? store.classes.get(classes[0]) : null;
  ask({
    title: one ? `Name of ${title(one)} (${count(one.count, "region")})` : `Name of ${classes.length} classes`,
    typed: typed || one?.name || "",
    selected: !typed,
    options: knownNames(),
    near: rowOf(selection.current)?.name,
    hint,
    done: give,
  });
}

/** Open the box for the class that cut-outs go to. */
export function askClass(regions, { typed = "", near = null } = {}) {
  if (!regions.length) return;
  const classes = [...store.state.classes].sort((a, b) => b.count - a.count);
  const options = classes.map((item) => ({
    name: title(item), color: item.color, note: count(item.count, "region"), id: item.id }));
  const used = new Set(classes.map((item) => item.name));
  options.push(...store.state.labels.filter((label) => !used.has(label.name)).map((label) => ({ ...label, note: "new class" })));
  ask({
    title: `Send ${count(regions.length, "cut-out")} to`,
    typed,
    options,
    near,
    hint: () => "A class, or a name for a new one.",
    async done(text, option) {
      if (option?.id !== undefined) await move(regions, option.id);
      else await moveToName(regions, text);
    },
  });
}

/** The name that a digit stands for, as on the buttons above the list. */
export const nameOfDigit = (digit) => knownNames()[digit - 1]?.name;

let drawn = "";

function drawLabels() {
  const names = knownNames();
  const now = JSON.stringify(names);
  if (now === drawn) return;
  drawn = now;
  find("labels").replaceChildren(...names.map(({ name, color }, i) => {
    const key = i < DIGITS ? [make("kbd", {}, String(i + 1))] : [];
    const made = button("", () => use(name), { class: "label" });
    made.append(...key, swatch(color), make("bdi", {}, name));
    return made;
  }));
}

on("state", drawLabels);
