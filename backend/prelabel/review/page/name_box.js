// The box in which a name is typed: completion from known names, Enter takes what is written.

import { complete } from "./completion.js";
import { find, make, swatch } from "./dom.js";

const box = find("box");
const input = find("box-text");
const list = find("box-options");

let asked = null;
let shown = [];
let chosen = -1;

/** Ask for a name.
 * `question`: title, typed (what is in the box at first), options ({name, color, note, …}),
 * near (the element that it is about), hint(typed) and done(text, option or null). */
export function ask(question) {
  asked = question;
  find("box-title").textContent = question.title;
  input.value = question.typed;
  listOptions();
  box.showModal();
  place(question.near);
  input.focus();
  if (question.selected) input.select();
}

/** Below the row that it is about, or above it, so that its cut-outs stay in view. */
function place(near) {
  const from = (near?.closest(".row") ?? near)?.getBoundingClientRect();
  box.style.left = box.style.top = "";
  if (!from || innerWidth < 600) return;
  const below = from.bottom + 6;
  const above = from.top - box.offsetHeight - 6;
  const top = below + box.offsetHeight + 12 < innerHeight ? below : above > 12 ? above : innerHeight - box.offsetHeight - 12;
  box.style.left = `${Math.max(Math.min(from.left + 8, innerWidth - box.offsetWidth - 12), 12)}px`;
  box.style.top = `${top}px`;
}

function listOptions() {
  shown = complete(asked.options, input.value);
  list.replaceChildren(...shown.map(item));
  find("box-hint").textContent = asked.hint?.(input.value) ?? "";
  choose(-1);
}

function item(option, index) {
  const line = make("li", { id: `box-option-${index}`, role: "option", "aria-selected": "false" },
    swatch(option.color), make("bdi", {}, option.name), make("span", { class: "soft" }, option.note ?? ""));
  line.addEventListener("pointerdown", (event) => event.preventDefault());
  line.addEventListener("click", () => finish(option.name, option));
  return line;
}

function choose(index) {
  chosen = index;
  for (const [place, line] of [...list.children].entries()) {
    line.setAttribute("aria-selected", String(place === index));
    if (place === index) line.scrollIntoView({ block: "nearest" });
  }
  if (index >= 0) input.setAttribute("aria-activedescendant", `box-option-${index}`);
  else input.removeAttribute("aria-activedescendant");
}

function finish(text, option) {
  const { done } = asked;
  asked = null;
  box.close();
  done(text, option);
}

function submit() {
  const text = input.value.trim();
  if (chosen >= 0) return finish(shown[chosen].name, shown[chosen]);
  if (!text) return box.close();
  // Two classes may have one name: the first of the list, as the list has it.
  return finish(text, asked.options.find((option) => option.name === text) ?? null);
}

/** Write the option that Tab stands for. */
function takeUp() {
  const option = shown[Math.max(chosen, 0)];
  if (!option || option.name === input.value) return false;
  input.value = option.name;
  listOptions();
  return true;
}

input.addEventListener("input", listOptions);
input.addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    // -1 stands for what is typed.
    choose(((chosen + 1 + step + shown.length + 1) % (shown.length + 1)) - 1);
    event.preventDefault();
  } else if (event.key === "Tab" && !event.shiftKey && takeUp()) {
    event.preventDefault();
  }
});
box.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
find("box-cancel").addEventListener("click", () => box.close());
// What is outside of the form is the backdrop.
box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
// After a cancel; where a name was given, the focus is at the next class by now.
box.addEventListener("close", () => { asked?.near?.focus({ preventScroll: true }); });
