// ---------------------------------------------------------------------------------------------------------- pictures
// Tensors as pictures: a tile for each plane, a cell for each value. The hue is the sign, the strength the size.

const RAMPS = { // from 0 outwards; chosen so that 0 is the paper itself, and both ends stay apart without hue
  light: { up: ["#f6f6f4", "#f7c79b", "#dd7a2c", "#a33f06", "#571b00"], down: ["#f6f6f4", "#a9cfe8", "#3d8fc7", "#0b5394", "#072a54"] },
  dark: { up: ["#171b20", "#6b3310", "#c9661c", "#ffad5c", "#fff0da"], down: ["#171b20", "#173f63", "#2a7fbd", "#74c4f7", "#e2f4ff"] },
};
const NOT_A_NUMBER = [255, 0, 200];
const tables = {};

/** 255 colours of a theme, from -127 to 127. */
function colours(theme) {
  tables[theme] ??= Array.from({ length: 255 }, (_, i) => {
    const ramp = RAMPS[theme][i < 127 ? "down" : "up"];
    const at = Math.pow(Math.abs(i - 127) / 127, 0.8) * (ramp.length - 1); // small values are most of them: lift them
    const low = Math.min(Math.floor(at), ramp.length - 2);
    return [1, 3, 5].map((k) => {
      const [a, b] = [low, low + 1].map((stop) => parseInt(ramp[stop].slice(k, k + 2), 16));
      return Math.round(a + (at - low) * (b - a));
    });
  });
  return tables[theme];
}

const decoded = new WeakMap();

/** The values of a tensor that are in the page, as floats. Decoded when they are first looked at, so the page opens fast. */
function values(data) {
  if (!decoded.has(data)) {
    const bytes = Uint8Array.from(atob(data.base64), (letter) => letter.charCodeAt(0));
    const raw = data.type === "f4" ? new Float32Array(bytes.buffer) : new Int8Array(bytes.buffer);
    const scale = data.scale / 127;
    decoded.set(data, data.type === "f4" ? raw : Float32Array.from(raw, (q) => (q === -128 ? NaN : q * scale)));
  }
  return decoded.get(data);
}

const MOST_CELLS = 16384;

const imageOf = (tensor) => Math.min(state.image, tensor.data.shape[0] - 1); // of maps: the one that is shown

/** Which planes are shown and how: {planes, rows, columns, at(plane, i, j) -> place in values, index(...) -> indices}. */
function arrangement(tensor) {
  const { kind, shape, every } = tensor.data;
  if (kind === "maps") {
    const [, C, H, W] = shape, image = imageOf(tensor);
    const planes = Math.min(C, Math.max(1, Math.floor(MOST_CELLS / (H * W))));
    const lead = tensor.shape.length === 4 ? [image] : [];
    return { planes, of: tensor.shape.at(-3), rows: H, columns: W, at: (p, i, j) => ((image * C + p) * H + i) * W + j,
      index: (p, i, j) => [...lead, p, i * every[0], j * every[1]] };
  }
  if (kind === "filters") {
    const [F, C, H, W] = shape;
    const across = Math.min(C, 16), down = Math.min(F, Math.max(1, Math.floor(256 / across)));
    return { planes: across * down, of: tensor.shape[0] * tensor.shape[1], together: across, rows: H, columns: W,
      across, at: (p, i, j) => ((Math.floor(p / across) * C + (p % across)) * H + i) * W + j,
      index: (p, i, j) => [Math.floor(p / across), p % across, i, j] };
  }
  const [H, W] = shape; // a matrix; a vector is one of a single row
  return { planes: 1, of: 1, rows: H, columns: W, at: (p, i, j) => i * W + j,
    index: (p, i, j) => (kind === "vector" ? [j * every[1]] : [i * every[0], j * every[1]]) };
}

/** The canvas of a tensor. `marks` are frames around cells: {plane, i, j, rows, columns, strong}. */
class Picture {
  constructor(tensor, width, height) {
    this.tensor = tensor;
    this.values = values(tensor.data);
    this.plan = arrangement(tensor);
    this.marks = [];
    this.canvas = document.createElement("canvas");
    const { planes, rows, columns } = this.plan;
    const dense = window.devicePixelRatio || 1;
    // As many tiles beside one another as make the cells largest.
    let best = null;
    const together = this.plan.together ?? 1; // the kernels of one filter stay in one row
    for (let across = together; across <= planes; across += together) {
      const down = Math.ceil(planes / across);
      const cell = Math.min((width - 3 * (across - 1)) / (across * columns), (height - 3 * (down - 1)) / (down * rows));
      if (!best || cell > best.cell) best = { across, down, cell };
    }
    const flat = planes === 1 && tensor.data.kind !== "maps"; // rows of a matrix may be higher than wide
    const cell = Math.max(1, Math.floor(Math.min(best.cell, 40) * dense + 0.45)); // whole pixels
    this.wide = flat ? Math.max(1, Math.min(Math.floor((width * dense) / columns), 40 * dense)) : cell;
    this.high = flat ? Math.max(1, Math.min(Math.floor((height * dense) / rows), Math.round((rows === 1 ? 30 : 18) * dense))) : cell;
    if (flat && rows > 1 && columns === 1) this.wide = 60 * dense;
    this.across = best.across;
    this.gap = planes > 1 ? Math.max(1, Math.round((rows < 8 ? 2 : 3) * dense)) : 0;
    this.canvas.width = best.across * (columns * this.wide + this.gap) - this.gap;
    this.canvas.height = best.down * (rows * this.high + this.gap) - this.gap;
    this.canvas.style.width = `${this.canvas.width / dense}px`;
    this.canvas.style.height = `${this.canvas.height / dense}px`;
    this.dense = dense;
    this.draw();
  }

  origin(plane) {
    const { rows, columns } = this.plan;
    return [(plane % this.across) * (columns * this.wide + this.gap), Math.floor(plane / this.across) * (rows * this.high + this.gap)];
  }

  draw() {
    const { planes, rows, columns, at } = this.plan;
    const context = this.canvas.getContext("2d");
    const table = colours(theme());
    const factor = 127 / (this.tensor.data.scale || 1);
    const tile = new ImageData(columns, rows);
    const small = new OffscreenCanvas(columns, rows);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.imageSmoothingEnabled = false;
    context.fillStyle = theme() === "dark" ? "#39424b" : "#dde1e6"; // between the tiles
    for (let plane = 0; plane < planes; plane++) {
      const [x, y] = this.origin(plane);
      context.fillRect(x - this.gap, y - this.gap, columns * this.wide + 2 * this.gap, rows * this.high + 2 * this.gap);
    }
    for (let plane = 0; plane < planes; plane++) {
      for (let i = 0, pixel = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++, pixel += 4) {
          const value = this.values[at(plane, i, j)];
          const colour = Number.isFinite(value) ? table[Math.round(Math.max(-127, Math.min(127, value * factor))) + 127] : NOT_A_NUMBER;
          tile.data.set(colour, pixel);
          tile.data[pixel + 3] = 255;
        }
      }
      small.getContext("2d").putImageData(tile, 0, 0);
      context.drawImage(small, ...this.origin(plane), columns * this.wide, rows * this.high);
    }
    for (const mark of this.marks) this.frame(context, mark);
  }

  frame(context, { plane, i, j, rows = 1, columns = 1, strong = true }) {
    if (plane >= this.plan.planes) return;
    const [x, y] = this.origin(plane);
    const box = [x + j * this.wide, y + i * this.high, columns * this.wide, rows * this.high];
    const edge = (strong ? 2 : 1.25) * this.dense;
    if (j === 0) (box[0] += edge), (box[2] -= edge); // at the rim of the tile: inside of it
    if (i === 0) (box[1] += edge), (box[3] -= edge);
    if (j + columns === this.plan.columns) box[2] -= edge;
    if (i + rows === this.plan.rows) box[3] -= edge;
    context.save();
    context.beginPath();
    context.rect(x, y, this.plan.columns * this.wide, this.plan.rows * this.high);
    context.clip(); // a window that begins in the padding
    context.lineWidth = edge * 2;
    context.strokeStyle = theme() === "dark" ? "#000" : "#fff"; // a rim, seen on every colour
    context.strokeRect(box[0] - edge / 2, box[1] - edge / 2, box[2] + edge, box[3] + edge);
    context.lineWidth = edge;
    context.strokeStyle = strong ? "#e6007e" : "#e6007ecc";
    context.strokeRect(box[0] - edge / 2, box[1] - edge / 2, box[2] + edge, box[3] + edge);
    context.restore();
  }

  /** The cell at a point of the canvas in CSS pixels: {plane, i, j}, or null in a gap. */
  cell(x, y) {
    const { planes, rows, columns } = this.plan;
    const [wide, high] = [columns * this.wide + this.gap, rows * this.high + this.gap];
    const [across, down] = [Math.floor((x * this.dense) / wide), Math.floor((y * this.dense) / high)];
    const j = Math.floor((x * this.dense - across * wide) / this.wide), i = Math.floor((y * this.dense - down * high) / this.high);
    const plane = down * this.across + across;
    return i >= 0 && j >= 0 && i < rows && j < columns && plane < planes && across < this.across ? { plane, i, j } : null;
  }

  /** The cell of some indices, null where they are not shown. */
  cellOf(indices) {
    const { planes, rows, columns, across = 1 } = this.plan, [every, over] = this.tensor.data.every;
    const inner = indices.length > 1 ? indices.slice(-2) : [0, ...indices];
    const [i, j] = [inner[0] / every, inner[1] / over];
    const plane = indices.length === 4 && this.tensor.data.kind === "filters" ? (indices[1] < across ? indices[0] * across + indices[1] : -1) : (indices.at(-3) ?? 0);
    return plane >= 0 && plane < planes && Number.isInteger(i) && Number.isInteger(j) && i < rows && j < columns ? { plane, i, j } : null;
  }

  value({ plane, i, j }) {
    return this.values[this.plan.at(plane, i, j)];
  }

  /** x[0, 3, 5, 7] = 0.25 */
  words(name, cell) {
    const about = this.tensor.data.type === "f4" ? "=" : "≈";
    return `${name}[${this.plan.index(cell.plane, cell.i, cell.j).join(", ")}] ${about} ${number(this.value(cell))}`;
  }
}

/** An image that the network was given, small: of three channels in colour. */
function thumbnail({ data }, image) {
  const [, C, H, W] = data.shape, all = values(data).subarray(image * C * H * W, (image + 1) * C * H * W);
  const canvas = element("canvas", { width: W, height: H });
  const picture = new ImageData(W, H), table = colours(theme());
  const low = Math.min(...all), high = Math.max(...all);
  for (let k = 0; k < H * W; k++) {
    const colour = C === 3 ? [0, 1, 2].map((c) => (255 * (all[c * H * W + k] - low)) / (high - low || 1))
      : table[Math.round(Math.max(-127, Math.min(127, (127 * all[k]) / (data.scale || 1)))) + 127] ;
    picture.data.set([...colour, 255], 4 * k);
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

/** The counts of a histogram as bars. They are drawn as square roots, so that rare values are seen. */
function histogram({ low, high, counts }) {
  const [width, height] = [200, 52];
  const most = Math.sqrt(Math.max(...counts)) || 1, bar = width / counts.length;
  const svg = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, class: "histogram", "aria-hidden": "true" });
  counts.forEach((count, i) => {
    const tall = count ? Math.max(1.2, (Math.sqrt(count) / most) * height) : 0;
    const middle = low + ((i + 0.5) / counts.length) * (high - low);
    if (tall) svg.append(svgElement("rect", { x: (i * bar + 0.35).toFixed(2), y: (height - tall).toFixed(2), width: (bar - 0.7).toFixed(2), height: tall.toFixed(2), class: middle < 0 ? "down" : "up" }));
  });
  if (low < 0 && high > 0) {
    const x = (width * -low) / (high - low);
    svg.append(svgElement("line", { x1: x, x2: x, y1: 0, y2: height, class: "zero" }));
  }
  return svg;
}
