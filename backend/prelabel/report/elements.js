"use strict";

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "title"]);

/** An element with attributes and children; text is never taken for markup. */
function make(tag, attributes = {}, ...children) {
  const element = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Control characters as JSON writes them: a line feed as \n. */
function visible(name) {
  return name.replace(/[\0-\x1f]/g, (c) => JSON.stringify(c).slice(1, -1));
}

/** A picture with masks over it, as a figure. `photo`: its `thumb`, `size` and `view`. */
function frame(photo, caption, paths) {
  const box = make("div", { class: "frame" });
  box.style.aspectRatio = String(Math.min(Math.max(photo.size[0] / photo.size[1], 0.75), 1.8));
  if (photo.thumb) box.append(make("img", { src: photo.thumb, alt: "", loading: "lazy", decoding: "async" }));
  box.append(make("svg", {
    viewBox: `0 0 ${photo.view[0]} ${photo.view[1]}`, role: "img", "aria-label": caption,
  }, ...paths));
  return make("figure", {}, box, make("figcaption", {}, caption));
}
