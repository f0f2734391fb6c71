// Which regions lie inside of a lasso.

import { polygonContains } from "./vendor/d3.min.js";

/** The regions whose points are inside of an outline: corners [x, y] on the screen; `scale` is {kx, ky,
 * tx, ty}, from [0, 1] to the screen. */
export function inside(outline, points, { kx, ky, tx, ty }) {
  const polygon = outline.map(([x, y]) => [(x - tx) / kx, (y - ty) / ky]);
  const [xs, ys] = [0, 1].map((axis) => polygon.map((corner) => corner[axis]));
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [top, bottom] = [Math.min(...ys), Math.max(...ys)];
  const found = [];
  const { n, x, y } = points;
  for (let i = 0; i < n; i++) {
    const near = x[i] >= left && x[i] <= right && y[i] >= top && y[i] <= bottom;
    if (near && polygonContains(polygon, [x[i], y[i]])) found.push(i);
  }
  return found;
}
