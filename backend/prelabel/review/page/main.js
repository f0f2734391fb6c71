// Starts the page.

import { regionOf } from "./cells.js";
import { find } from "./dom.js";
import { openFigures } from "./figures.js";
import * as grid from "./grid.js";
import * as header from "./header.js";
import * as keyboard from "./keyboard.js";
import * as map from "./map.js";
import { askName } from "./names.js";
import * as photo from "./photo.js";
import * as pointing from "./pointing.js";
import { setCurrent } from "./selection.js";
import { poll } from "./state.js";
import * as tray from "./tray.js";

function startDialogs() {
  for (const close of document.querySelectorAll("dialog .close")) {
    close.addEventListener("click", () => close.closest("dialog").close());
  }
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  }
  find("show-keys").addEventListener("click", () => find("keys").showModal());
  find("show-figures").addEventListener("click", openFigures);
}

grid.start({
  rename(id) {
    setCurrent(id);
    askName();
  },
});
header.start();
tray.start(photo.open);
pointing.start((cell) => photo.open(regionOf(cell), cell));
keyboard.start();
startDialogs();
poll();
map.start();
