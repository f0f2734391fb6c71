// Progress, undo, the state of saving, and the button that brings predictions up to date.

import { count, duration, find, make, number } from "./dom.js";
import { push, undo } from "./edits.js";
import { on, store } from "./state.js";

function drawProgress({ regions, named, classes_left: left, classes, seconds_saved: saved, seconds_total: total }) {
  const share = regions ? named / regions : 0;
  const percent = Math.floor(100 * share);
  const meter = find("progress").querySelector(".meter");
  meter.setAttribute("aria-valuenow", percent);
  meter.firstElementChild.style.width = `${100 * share}%`;
  const time = saved >= 1 ? ` · ${duration(saved)} of ${duration(total)} saved` : "";
  const text =
    `${percent} % of ${count(regions, "region")} named · ${left ? `${number(left)} of ${count(classes, "class", "classes")} left` : "no class left"}${time}`;
  find("progress-text").textContent = find("progress-text").title = text;
}

function drawSaving({ state, message }) {
  const texts = { waiting: "Applying…", running: "Applying…", failed: "Not applied yet" };
  const shown = find("saving");
  shown.textContent = texts[state] ?? "";
  shown.title = message ?? "";
  shown.classList.toggle("wrong", state === "failed");
}

function drawPush(state) {
  const shown = find("push");
  shown.hidden = !state;
  if (!state) return;
  const running = state.state === "running";
  shown.setAttribute("aria-disabled", String(running));
  shown.classList.toggle("wrong", state.state === "failed");
  shown.title = state.message ?? "";
  shown.style.setProperty("--done", `${state.total && running ? (100 * state.done) / state.total : 0}%`);
  shown.textContent = {
    running: `Updating predictions: ${number(state.done)} of ${number(state.total)}`,
    done: "Predictions updated · again",
    failed: "Updating failed · try again",
  }[state.state] ?? "Update predictions";
}

function drawProblems({ problems = [], applying, push: pushed }) {
  const shown = find("problems");
  const texts = [...problems];
  if (applying.state === "failed") texts.push(`Not all names count yet: ${applying.message}`);
  if (pushed?.state === "failed") texts.push(`Predictions are not up to date: ${pushed.message}`);
  shown.hidden = !texts.length;
  shown.replaceChildren(...texts.map((text) => make("li", {}, text)));
}

function draw() {
  const { state } = store;
  find("title").textContent = state.title;
  document.title = `${state.title} – prelabel review`;
  drawProgress(state.progress);
  drawSaving(state.applying);
  drawPush(state.push);
  drawProblems(state);
  const last = state.undo.at(-1);
  const shown = find("undo");
  shown.disabled = last === undefined;
  shown.title = last === undefined ? "" : `Undo: ${last} (Shift+U)`;
}

export function start() {
  on("state", draw);
  find("undo").addEventListener("click", undo);
  find("push").addEventListener("click", () => {
    if (store.state.push?.state !== "running") push();
  });
}
