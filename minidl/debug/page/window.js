// ------------------------------------------------------------------------------------------------------------ window
// One value of a result, what it was computed from, lit up, and the sum (or the maximum) that it is.
//     conv         y[n, f, i, j] = bias[f] + sum over c, kh, kw of weight[f, c, kh, kw] x[n, c, i S − P + kh D, j S − P + kw D]
//     conv_input   the gradient of x there: the sum over all f, kh, kw, i, j with h = i S − P + kh D of weight[f, c, kh, kw] dy[n, f, i, j]
//     max, mean, adaptive      of the window of one channel; max_input, mean_input: the gradient of x there

let chosen = null; // the cell of y that is explained

const HINTS = { conv: "click a pixel: its sum", conv_input: "click a pixel: its sum", max_input: "click a pixel: its sum", mean_input: "click a pixel: its sum", max: "click a pixel: its window", mean: "click a pixel: its window", adaptive: "click a pixel: its window" };

/** The numbers of the image that is shown, of a tensor of maps, and their shape. */
function maps(index) {
  const { data } = page.tensors[index], [, C, H, W] = data.shape;
  const all = values(data), first = imageOf(page.tensors[index]) * C * H * W;
  return { C, H, W, at: (c, h, w) => (h >= 0 && h < H && w >= 0 && w < W ? all[first + (c * H + h) * W + w] : null) };
}

function kernels(index) {
  const { data } = page.tensors[index], [F, C, KH, KW] = data.shape, all = values(data);
  return { F, C, KH, KW, at: (f, c, kh, kw) => all[((f * C + c) * KH + kh) * KW + kw] };
}

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const frameAround = (plane, rows, columns) => ({ plane, i: Math.min(...rows), j: Math.min(...columns), rows: Math.max(...rows) - Math.min(...rows) + 1, columns: Math.max(...columns) - Math.min(...columns) + 1 });

/** What goes into one value: {parts: [{which, window, kernel, products, sum}], columns, total, kept, words, marks}. */
function explained(window, cell) {
  const explain = { conv: summedForward, conv_input: summedBackward, max_input: pooledBackward, mean_input: pooledBackward };
  return (explain[window.kind] ?? pooled)(window, cell);
}

function summedForward(of, { plane: f, i, j }) {
  const x = maps(of.x), weight = kernels(of.weight), y = maps(of.y);
  const [top, left] = [i * of.stride[0] - of.padding[0][0], j * of.stride[1] - of.padding[1][0]];
  const first = Math.floor(f / (weight.F / of.groups)) * weight.C;
  const parts = [];
  for (let k = 0; k < weight.C; k++) {
    const window = [], kernel = [];
    for (let kh = 0; kh < weight.KH; kh++) {
      for (let kw = 0; kw < weight.KW; kw++) {
        window.push(x.at(first + k, top + kh * of.dilation[0], left + kw * of.dilation[1])); // null: padding, which counts as 0
        kernel.push(weight.at(f, k, kh, kw));
      }
    }
    parts.push({ which: `c = ${first + k}`, captions: [`x, channel ${first + k}`, `weight[${f}, ${k}]`], window, kernel });
  }
  const bias = of.bias === null ? null : values(page.tensors[of.bias].data)[f];
  const size = { i: top, j: left, rows: (weight.KH - 1) * of.dilation[0] + 1, columns: (weight.KW - 1) * of.dilation[1] + 1 };
  return products(parts, weight, bias, y.at(f, i, j), {
    x: parts.map((_, k) => ({ plane: first + k, ...size })),
    weight: parts.map((_, k) => [f, k]),
  });
}

function summedBackward(of, { plane: c, i: h, j: w }) {
  const dy = maps(of.x), weight = kernels(of.weight), dx = maps(of.y);
  const group = Math.floor(c / weight.C), filters = weight.F / of.groups;
  const parts = [], marks = [];
  for (let f = group * filters; f < (group + 1) * filters; f++) {
    const window = [], kernel = [], rows = [], columns = [];
    for (let kh = 0; kh < weight.KH; kh++) {
      for (let kw = 0; kw < weight.KW; kw++) {
        const i = (h + of.padding[0][0] - kh * of.dilation[0]) / of.stride[0], j = (w + of.padding[1][0] - kw * of.dilation[1]) / of.stride[1];
        const value = Number.isInteger(i) && Number.isInteger(j) ? dy.at(f, i, j) : null; // null: no window has x there
        window.push(value);
        kernel.push(weight.at(f, c % weight.C, kh, kw));
        if (value !== null) rows.push(i), columns.push(j);
      }
    }
    parts.push({ which: `f = ${f}`, captions: [`grad_output, channel ${f}`, `weight[${f}, ${c % weight.C}]`], window, kernel });
    if (rows.length) marks.push(frameAround(f, rows, columns));
  }
  return products(parts, weight, null, dx.at(c, h, w), { x: marks, weight: parts.map((_, k) => [group * filters + k, c % weight.C]) });
}

function products(parts, weight, bias, kept, marks) {
  for (const part of parts) {
    part.products = part.window.map((value, k) => (value ?? 0) * part.kernel[k]);
    part.sum = sum(part.products);
  }
  const total = sum(parts.map((part) => part.sum)) + (bias ?? 0);
  const words = `the sum of ${parts.length * weight.KH * weight.KW} products${bias === null ? "" : `, and the bias ${number(bias)}`}`;
  return { parts, columns: weight.KW, total, kept, words, marks };
}

/** The rows (axis 0) or columns (1) of the window number `at`. */
function taps(of, axis, at) {
  return Array.from({ length: of.kernel[axis] }, (_, k) => at * of.stride[axis] - of.padding[axis][0] + k * (of.dilation?.[axis] ?? 1));
}

/** What the mean of a window is divided by. */
function counted(of, { H, W }, rows, columns) {
  if (typeof of.count === "number") return of.count;
  const within = (places, size, [before, after]) => places.filter((place) => place >= -before && place < size + after).length;
  const padding = of.count === "all" ? of.padding : [[0, 0], [0, 0]];
  return within(rows, H, padding[0]) * within(columns, W, padding[1]);
}

function pooledBackward(of, { plane, i: h, j: w }) {
  const dy = maps(of.x), x = maps(of.source), dx = maps(of.y), [KH, KW] = of.kernel;
  const window = [], kernel = [], rows = [], columns = [];
  for (const i of touching(of, 0, h)) {
    for (const j of touching(of, 1, w)) {
      const value = i === null || j === null ? null : dy.at(plane, i, j); // null: no window has x there
      window.push(value);
      kernel.push(value === null ? 0 : share(of, x, plane, taps(of, 0, i), taps(of, 1, j), h, w));
      if (value !== null) rows.push(i), columns.push(j);
    }
  }
  const parts = [{ which: `c = ${plane}`, captions: [`grad_output, channel ${plane}`, of.kind === "max_input" ? "is it the largest?" : "1 / count"], window, kernel }];
  const marks = { x: rows.length ? [frameAround(plane, rows, columns)] : [] };
  const windows = rows.length === 1 ? "the window that holds x there" : `the ${rows.length} windows that hold x there`;
  const words = of.kind === "max_input" ? `from ${windows}, where it is the largest value` : `a share from ${windows}`;
  return { ...products(parts, { KH, KW }, null, dx.at(plane, h, w), marks), words };
}

/** For each tap of the kernel, the number of the window in which that tap is at `place`; null where there is none. */
function touching(of, axis, place) {
  return range(0, of.kernel[axis]).map((k) => {
    const at = (place + of.padding[axis][0] - k * (of.dilation?.[axis] ?? 1)) / of.stride[axis];
    return Number.isInteger(at) ? at : null;
  });
}

/** The derivative of a window's result with respect to x[h, w]. */
function share(of, x, plane, rows, columns, h, w) {
  if (of.kind === "mean_input") return 1 / counted(of, x, rows, columns);
  let best = -Infinity, place = null;
  for (const row of rows) for (const column of columns) {
    const value = x.at(plane, row, column);
    if (value !== null && (place === null || value > best)) [best, place] = [value, [row, column]];
  }
  return place[0] === h && place[1] === w ? 1 : 0;
}

function pooled(of, { plane, i, j }) {
  const x = maps(of.x), y = maps(of.y);
  const places = (axis, at, size, out) => (of.kind === "adaptive" ? range(Math.floor((at * size) / out), Math.ceil(((at + 1) * size) / out)) : taps(of, axis, at));
  const rows = places(0, i, x.H, y.H), columns = places(1, j, x.W, y.W);
  const window = rows.flatMap((h) => columns.map((w) => x.at(plane, h, w)));
  const inside = window.filter((value) => value !== null);
  const marks = { x: [frameAround(plane, rows, columns)] };
  let total, words;
  if (of.kind === "max") {
    const best = window.indexOf(Math.max(...inside)), [h, w] = [rows[Math.floor(best / columns.length)], columns[best % columns.length]];
    total = window[best];
    words = `the largest of ${inside.length} values, at row ${h}, column ${w}`;
    marks.x.push({ plane, i: h, j: w });
  } else {
    const count = of.kind === "adaptive" ? inside.length : counted(of, x, rows, columns);
    total = sum(inside) / count;
    words = `the mean of ${count} values: ${number(sum(inside))} / ${count}`;
  }
  return { parts: [{ which: `c = ${plane}`, captions: [`x, channel ${plane}`], window, sum: total }], columns: columns.length, total, kept: y.at(plane, i, j), words, marks };
}

const range = (from, to) => Array.from({ length: to - from }, (_, k) => from + k);

/** Frames around what a cell of y (null: none) was computed from, in all pictures; and, if it `stays`, the sum below. */
function lightUp(cell, stays) {
  const step = page.steps[state.step];
  if (stays) {
    chosen = cell;
    showSum(step, cell);
  }
  cell ??= chosen;
  const marks = cell ? { weight: [], ...explained(step.window, cell).marks, y: [cell] } : { x: [], weight: [], y: [] };
  for (const [role, list] of Object.entries(marks)) {
    const card = state.cards.find((each) => each.index === step.window[role] && (each.side === "gives") === (role === "y"));
    if (!card) continue;
    const { across, planes } = card.picture.plan;
    const kernel = ([f, k]) => (k < across && f * across + k < planes ? [{ plane: f * across + k, i: 0, j: 0, rows: card.picture.plan.rows, columns: card.picture.plan.columns, strong: false }] : []);
    card.picture.marks = role === "weight" ? list.flatMap(kernel) : list;
    card.picture.draw();
  }
}

const MOST_SHOWN = 24; // channels: the largest parts of the sum

function showSum(step, cell) {
  const place = byId("sum");
  place.replaceChildren();
  place.hidden = !cell;
  if (!cell) return;
  const { parts, columns, total, kept, words } = explained(step.window, cell);
  const card = state.cards.find((each) => each.index === step.window.y && each.side === "gives");
  const name = `${card.role}[${card.picture.plan.index(cell.plane, cell.i, cell.j).join(", ")}]`;
  const scale = (key) => Math.max(...parts.flatMap((part) => (part[key] ?? []).map(Math.abs)));
  const scales = { window: scale("window"), kernel: scale("kernel"), products: scale("products") };
  const sorted = [...parts].sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
  const block = (part) => element("div", { className: part.kernel ? "channel" : "channel pool" },
    element("div", { className: "which" }, part.which),
    grid(part.captions[0], part.window, columns, scales.window),
    part.kernel ? [element("span", { className: "sign" }, "⊙"), grid(part.captions[1], part.kernel, columns, scales.kernel), element("span", { className: "sign" }, "="),
      grid("products", part.products, columns, scales.products), element("div", { className: "part" }, "Σ ", element("b", {}, number(part.sum)))] : null);
  const rest = sorted.slice(MOST_SHOWN);
  const equation = element("p", { className: "equation" }, element("b", {}, name), ` = ${number(total)}`,
    element("span", { className: "muted" }, `  ${words}; the tape has ${number(kept)}`));
  const close = element("button", { type: "button", onclick: () => lightUp(null, true), "aria-label": "Close the sum" }, "×");
  place.append(element("header", {}, element("h3", {}, "Behind one value"), close), equation,
    element("div", { className: "channels", tabIndex: 0, role: "group", "aria-label": "Channels, the largest parts first" }, sorted.slice(0, MOST_SHOWN).map(block)));
  if (rest.length) place.append(element("p", { className: "muted rest" }, `The other ${rest.length} channels: ${number(sum(rest.map((part) => part.sum)))}`));
  byId("reading").hidden = true;
  byId("step").querySelector(".columns").scrollIntoView({ block: "start" }); // pictures above, the sum below
  say(`${name} = ${number(total)}, ${words}.${parts.length > 1 ? ` Largest part: ${sorted[0].which}, ${number(sorted[0].sum)}.` : ""}`);
}

/** Numbers in cells of their colour. */
function grid(caption, numbers, columns, scale) {
  const table = element("table", { className: columns > 5 ? "fine" : "" }, element("caption", {}, caption));
  for (let i = 0; i < numbers.length; i += columns) {
    table.append(element("tr", {}, numbers.slice(i, i + columns).map((value) => {
      const cell = element("td", {}, value === null ? "·" : short(value));
      const [r, g, b] = colours(theme())[Math.round(127 * ((value ?? 0) / (scale || 1))) + 127];
      cell.style.background = value === null ? "" : `rgb(${r} ${g} ${b})`;
      cell.style.color = 0.3 * r + 0.59 * g + 0.11 * b > 135 ? "#111" : "#fff";
      cell.title = value === null ? "nothing there: 0" : number(value);
      if (value === null) cell.className = "padding";
      return cell;
    })));
  }
  return table;
}

/** A number in as few letters as tell it from its neighbours. */
function short(value) {
  const size = Math.abs(value);
  const text = size === 0 ? "0" : size < 0.005 ? value.toExponential(0).replace("e-", "e−") : size < 10 ? value.toFixed(2) : value.toPrecision(2);
  return text.replace(/^-/, "−").replace(/^(−?)0\./, "$1.");
}
