// The points of the map, written into an image pixel by pixel: 50 000 take a few milliseconds, which
// no 50 000 calls of a canvas do.

const known = new Map();
const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });

/** Red, green and blue of a colour as CSS writes it; grey if that is none. */
export function rgb(color) {
  if (!known.has(color)) {
    context.fillStyle = "#888";
    context.fillStyle = color;
    context.clearRect(0, 0, 1, 1);
    context.fillRect(0, 0, 1, 1);
    known.set(color, [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)]);
  }
  return known.get(color);
}

/** A colour that is seen on a page of another one: dark ones become lighter on a dark page. */
export function legible(color, page) {
  const light = ([red, green, blue]) => (0.3 * red + 0.59 * green + 0.11 * blue) / 255;
  const missing = light(page) < 0.5 ? 0.42 - light(color) : 0;
  if (missing <= 0) return color;
  const share = missing / (1 - light(color));
  return color.map((part) => Math.round(part + (255 - part) * share));
}

/** The binary answer of api/map: n, then x, y in [0, 1], class, score of each region. */
export function readPoints(buffer) {
  const view = new DataView(buffer);
  const n = view.getUint32(0, true);
  const points = { n, x: new Float32Array(n), y: new Float32Array(n), class: new Uint32Array(n) };
  for (let i = 0; i < n; i++) {
    const at = 4 + 16 * i;
    points.x[i] = view.getFloat32(at, true);
    points.y[i] = view.getFloat32(at + 4, true);
    points.class[i] = view.getUint32(at + 8, true);
  }
  return points;
}

/** A disc's pixels in an image of a width: their places beside the middle's, and the share of the
 * colour that each takes, in [0, 256]. */
function disc(radius, opacity, width) {
  const reach = Math.ceil(radius + 0.5);
  const places = [], shares = [];
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      const share = Math.min(Math.max(radius + 0.5 - Math.hypot(x, y), 0), 1);
      if (share <= 0.05) continue;
      places.push(y * width + x);
      shares.push(Math.round(256 * share * opacity));
    }
  }
  return { reach, places: Int32Array.from(places), shares: Int32Array.from(shares) };
}

export const pack = ([red, green, blue]) => (255 << 24) | (blue << 16) | (green << 8) | red;

/** A picture that points are drawn into. */
export class Raster {
  constructor(width, height) {
    this.image = new ImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  clear(color) {
    this.pixels.fill(pack(color));
  }

  /** Draw points: `place` is {kx, ky, tx, ty}, from [0, 1] to pixels; `colors` has the packed colour
   * of each class by its id, and 0 for classes that are left out. */
  draw(points, place, colors, { radius, opacity }) {
    const { width, height } = this.image;
    const { kx, ky, tx, ty } = place;
    const { reach, places, shares } = disc(radius, opacity, width);
    const { x: xs, y: ys, class: classes } = points;
    for (let i = 0; i < points.n; i++) {
      const color = colors[classes[i]];
      if (!color) continue;
      const x = Math.round(xs[i] * kx + tx), y = Math.round(ys[i] * ky + ty);
      if (x < reach || y < reach || x >= width - reach || y >= height - reach) continue;
      stamp(this.pixels, y * width + x, places, shares, color);
    }
  }
}

function stamp(pixels, at, places, shares, color) {
  const red = color & 255, green = (color >> 8) & 255, blue = (color >> 16) & 255;
  for (let k = 0; k < places.length; k++) {
    const place = at + places[k], share = shares[k];
    const under = pixels[place];
    const r = under & 255, g = (under >> 8) & 255, b = (under >> 16) & 255;
    pixels[place] = 0xff000000 | ((b + (((blue - b) * share) >> 8)) << 16)
      | ((g + (((green - g) * share) >> 8)) << 8) | (r + (((red - r) * share) >> 8));
  }
}

/** Where a class's name is written: the median of its points. */
export function middles(points) {
  const members = new Map();
  for (let i = 0; i < points.n; i++) {
    const id = points.class[i];
    if (!members.has(id)) members.set(id, []);
    members.get(id).push(i);
  }
  const median = (values) => values.sort()[values.length >> 1];
  return new Map([...members].map(([id, ids]) => [id, {
    x: median(Float32Array.from(ids, (i) => points.x[i])),
    y: median(Float32Array.from(ids, (i) => points.y[i])) }]));
}
