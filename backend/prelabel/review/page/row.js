// One class: its name, its figures, what can be done with it, and its contact sheet.

import { button, count, make, number, swatch } from "./dom.js";
import { background, split } from "./edits.js";
import { selection, setCurrent } from "./selection.js";
import { Sheet } from "./sheet.js";
import { title } from "./state.js";

export class Row {
  /** `actions`: rename(id), pick(id, event). */
  constructor(item, actions) {
    this.id = item.id;
    this.actions = actions;
    this.name = button("", () => actions.rename(item.id), { class: "name" });
    this.pick = make("input", { type: "checkbox", tabindex: "-1", class: "pick" });
    this.pick.addEventListener("click", (event) => actions.pick(item.id, event));
    this.facts = make("span", { class: "facts" });
    this.all = button("Show all", () => this.expand(!this.sheet.expanded), { "aria-expanded": "false" });
    this.tools = make("span", { class: "tools" },
      button("Name…", () => actions.rename(item.id), { class: "touch" }),
      button("Nothing", () => this.act(() => background([this.id])), { title: "This class is nothing, background (Delete)" }),
      button("Split", () => this.act(split), { title: "Cut this class in two (Shift+S)" }),
      this.all);
    const strip = make("div", { class: "strip", role: "group" });
    this.strip = strip;
    this.element = make("li", { class: "row", "data-class": item.id },
      make("div", { class: "row-head" }, this.pick, this.name, this.facts, this.tools), strip);
    this.sheet = new Sheet(strip, item.id, () => this.expand(true));
    this.update(item);
    this.mark();
  }

  act(run) {
    setCurrent(this.id);
    run();
  }

  expand(expanded) {
    setCurrent(this.id);
    this.all.textContent = expanded ? "Show less" : "Show all";
    this.all.setAttribute("aria-expanded", String(expanded));
    this.strip.classList.toggle("expanded", expanded);
    return this.sheet.toggle(expanded);
  }

  /** Take a class's values from the server. */
  update(item) {
    const before = this.item;
    this.item = item;
    const name = title(item);
    this.name.replaceChildren(swatch(item.color), make("bdi", {}, name));
    this.name.setAttribute("aria-label", `${name}, ${count(item.count, "region")}, mean score ${item.score.toFixed(2)}. Give a name`);
    this.element.classList.toggle("unnamed", !item.name && !item.background);
    this.element.classList.toggle("background", item.background);
    this.element.style.setProperty("--class", item.color);
    this.facts.replaceChildren(make("b", {}, number(item.count)), ` ${item.count === 1 ? "region" : "regions"} · score ${item.score.toFixed(2)}`);
    this.pick.setAttribute("aria-label", `Select ${name}`);
    this.strip.setAttribute("aria-label", `Cut-outs of ${name}`);
    if (before?.count !== item.count || before?.score !== item.score) this.sheet.renew(item.count);
  }

  /** Show whether it is current or selected. Tab stops at the current class alone. */
  mark() {
    const current = selection.current === this.id;
    const selected = selection.classes.has(this.id);
    this.pick.checked = selected; // a click may have changed it by itself
    if (this.marked === `${current} ${selected}`) return;
    this.marked = `${current} ${selected}`;
    this.element.classList.toggle("current", current);
    this.element.classList.toggle("selected", selected);
    for (const item of [this.name, this.pick, ...this.tools.children]) item.tabIndex = current ? 0 : -1;
  }
}
