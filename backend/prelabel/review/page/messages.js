// One line at a time about what was done, and one that stays while something is wrong.

import { button, find, make } from "./dom.js";
import { on, store } from "./state.js";

const toast = find("toast");
const alert = find("alert");
const SECONDS = 6;

let timer = 0;

/** Where a dialog is open, all else is out of reach. */
function place() {
  const open = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body;
  if (toast.parentElement !== open) open.append(toast);
}

export function say(text, ...actions) {
  place();
  clearTimeout(timer);
  toast.classList.remove("wrong");
  toast.replaceChildren(make("span", {}, text), ...actions);
  timer = setTimeout(() => toast.replaceChildren(), 1000 * SECONDS);
}

/** It stays until something else is said. */
export function complain(text, again) {
  say(text, ...(again ? [button("Try again", again)] : []),
    button("×", () => toast.replaceChildren(), { "aria-label": "Close" }));
  clearTimeout(timer);
  toast.classList.add("wrong");
}

on("connection", ({ message }) => {
  alert.hidden = store.connected;
  if (store.connected) {
    say("Connected again.");
    return;
  }
  alert.textContent = message ||
    "The connection to prelabel is lost. What was said so far is kept; trying again each second…";
});
