// What people decide: each is sent at once, and shown as the server then has it.

import { ConnectionLost, postEdit, postPush } from "./api.js";
import { count } from "./dom.js";
import { complain, say } from "./messages.js";
import { chosenClasses, clear, selectRegions, selection } from "./selection.js";
import { refresh, store, title } from "./state.js";

const regionsOf = (classes) => classes.reduce((n, id) => n + (store.classes.get(id)?.count ?? 0), 0);
const plural = (classes) => {
  const item = store.classes.get(classes[0]);
  return classes.length === 1 && item ? `“${title(item)}”` : count(classes.length, "class", "classes");
};

/** Send an edit; the server's answer, or null with the reason shown. */
async function send(edit, message) {
  try {
    const answer = await postEdit(edit);
    if (message) say(message);
    await refresh();
    return answer;
  } catch (error) {
    const lost = error instanceof ConnectionLost;
    complain(lost ? "Not saved: no connection to prelabel." : error.message,
      lost ? () => send(edit, message) : null);
    return null;
  }
}

export function nameClasses(classes, name) {
  selection.classes.clear();
  return send({ kind: "name", classes, name }, `${count(regionsOf(classes), "region")} named “${name}”.`);
}

export function background(classes) {
  selection.classes.clear();
  return send({ kind: "background", classes }, `${plural(classes)}: this is nothing.`);
}

export async function merge() {
  const classes = chosenClasses();
  if (classes.length < 2) {
    say("Select the classes to merge: Space, Shift+↓, or the boxes at their names.");
    return;
  }
  const done = await send({ kind: "merge", classes }, `${classes.length} classes merged.`);
  if (done) clear();
}

/** The selected cut-outs leave the current class; without any, it is cut in two by k-means. */
export async function split() {
  const id = selection.current;
  if (id === null) return;
  const regions = [...selection.regions];
  const edit = regions.length ? { kind: "split", class: id, regions } : { kind: "split", class: id, parts: 2 };
  const done = await send(edit, regions.length
    ? `${count(regions.length, "cut-out")} split off from ${plural([id])}.` : `${plural([id])} was split in two.`);
  if (done) clear();
}

/** Send cut-outs to a class; null: to a new one. */
export async function move(regions, id) {
  const target = id === null ? "a new class" : plural([id]);
  const done = await send({ kind: "move", regions, class: id }, `${count(regions.length, "cut-out")} sent to ${target}.`);
  if (done) selectRegions(regions, false); // others may have been selected meanwhile
  return done;
}

/** Send cut-outs to a new class that has a name, or is nothing. */
async function moveToNew(regions, then) {
  const known = new Set(store.classes.keys());
  const done = await move(regions, null);
  if (!done) return;
  const made = done.class ?? [...store.classes.keys()].filter((id) => !known.has(id)).pop();
  if (made !== undefined) await then([made]);
}

let earlier = Promise.resolve();

/** Send cut-outs to the largest class that fits, else to a new one that is then made so: once what
 * was sent before is on the page, as that may have made the class that fits. */
function moveToLargest(regions, fits, make) {
  const run = () => {
    const largest = [...store.classes.values()].filter(fits).sort((a, b) => b.count - a.count)[0];
    return largest ? move(regions, largest.id) : moveToNew(regions, make);
  };
  earlier = earlier.then(run, run);
  return earlier;
}

export const moveToName = (regions, name) => moveToLargest(
  regions, (item) => item.name === name && !item.background, (made) => nameClasses(made, name));

/** Cut-outs that are nothing join the class that is nothing already. */
export const moveToNothing = (regions) => moveToLargest(regions, (item) => item.background, background);

export function undo() {
  const texts = store.state?.undo ?? [];
  if (!texts.length) {
    say("There is nothing to undo.");
    return null;
  }
  return send({ kind: "undo" }, `Undone: ${texts.at(-1)}`);
}

export async function push() {
  try {
    await postPush();
    say("Stored predictions are being brought up to date.");
    await refresh();
  } catch (error) {
    complain(error.message, error instanceof ConnectionLost ? push : null);
  }
}
