// What the server says, asked for each second; the rest of the page listens.

import { ConnectionLost, getState } from "./api.js";

const EVERY = 1000;

/** The last answer of api/state (null before the first), its classes by id, and whether the server
 * still answers. */
export const store = { state: null, classes: new Map(), connected: true };

const listeners = new Map();

/** Call a function whenever something is emitted: "state", "connection", "selection", "hover". */
export function on(type, run) {
  listeners.set(type, [...(listeners.get(type) ?? []), run]);
}

export function emit(type, detail) {
  for (const run of listeners.get(type) ?? []) run(detail);
}

/** A class's name for people. */
export const title = (item) => (item.name ? item.name : item.background ? "background" : `class ${item.id + 1}`);

function accept(state) {
  const before = store.classes;
  store.state = state;
  store.classes = new Map(state.classes.map((item) => [item.id, item]));
  emit("state", { before });
}

let problem = null;

/** `message`: what is wrong, "" if the server does not answer, null if nothing is. */
function connection(message) {
  if (problem === message) return;
  problem = message;
  store.connected = message === null;
  emit("connection", { message });
}

let asking = null;

/** Ask now; whoever waits sees at least what the server knew when this was called. */
export async function refresh() {
  if (asking) await asking;
  asking ??= ask().finally(() => { asking = null; });
  return asking;
}

async function ask() {
  try {
    const state = await getState(store.state?.version ?? null);
    connection(null);
    if (state) accept(state);
  } catch (error) {
    connection(error instanceof ConnectionLost ? "" : error.message);
  }
}

export async function poll() {
  await refresh();
  setTimeout(poll, EVERY);
}
