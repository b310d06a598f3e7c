// ------------------------------------------------------------------------------------------------------------ window
// One value of a convolution's output: the window that it was computed from, lit up, and the sum that it is.
//     y[n, f, i, j] = bias[f] + sum over c, kh, kw of weight[f, c, kh, kw] x[n, c, i S − P + kh D, j S − P + kw D]

let chosen = null; // the cell of y whose sum is shown

/** Everything that goes into y[0, f, i, j]: {channels: [{c, window, weight, products, sum}], bias, total, kept, ...}. */
function summed({ stride, padding, dilation, groups, ...of }, { plane: f, i, j }) {
  const [x, weight, y] = [of.x, of.weight, of.y].map((index) => page.tensors[index]);
  const [C, H, W] = x.data.shape, [F, perGroup, KH, KW] = weight.data.shape;
  const [xs, ws, ys] = [x, weight, y].map((tensor) => values(tensor.data));
  const [top, left] = [i * stride[0] - padding[0], j * stride[1] - padding[1]];
  const first = Math.floor(f / (F / groups)) * (C / groups);
  const channels = [];
  for (let k = 0; k < perGroup; k++) {
    const window = [], kernel = [], products = [];
    for (let kh = 0; kh < KH; kh++) {
      for (let kw = 0; kw < KW; kw++) {
        const [row, column] = [top + kh * dilation[0], left + kw * dilation[1]];
        const inside = row >= 0 && row < H && column >= 0 && column < W;
        window.push(inside ? xs[((first + k) * H + row) * W + column] : null); // null: padding, which counts as 0
        kernel.push(ws[((f * perGroup + k) * KH + kh) * KW + kw]);
        products.push((window.at(-1) ?? 0) * kernel.at(-1));
      }
    }
    channels.push({ c: first + k, k, window, kernel, products, sum: products.reduce((a, b) => a + b, 0) });
  }
  const bias = of.bias === null ? null : values(page.tensors[of.bias].data)[f];
  const total = channels.reduce((sum, channel) => sum + channel.sum, bias ?? 0);
  const [, OH, OW] = y.data.shape;
  return { channels, bias, total, kept: ys[(f * OH + i) * OW + j], top, left, KH, KW, dilation };
}

/** Frames around the window of a cell of y (null: none), in all pictures; and, if it `stays`, the sum below. */
function lightUp(cell, stays) {
  const step = page.steps[state.step];
  if (stays) {
    chosen = cell;
    showSum(step, cell);
  }
  cell ??= chosen;
  const marks = { x: [], weight: [], y: [] };
  if (cell) {
    const { channels, top, left, KH, KW, dilation } = summed(step.window, cell);
    const size = { rows: (KH - 1) * dilation[0] + 1, columns: (KW - 1) * dilation[1] + 1 };
    marks.x = channels.map(({ c }) => ({ plane: c, i: top, j: left, ...size }));
    marks.y = [cell];
    const { across, planes } = state.cards.find((card) => card.index === step.window.weight).picture.plan;
    marks.weight = channels.filter(({ k }) => k < across && cell.plane * across + k < planes)
      .map(({ k }) => ({ plane: cell.plane * across + k, i: 0, j: 0, rows: KH, columns: KW, strong: false }));
  }
  for (const [role, list] of Object.entries(marks)) {
    const card = state.cards.find((each) => each.index === step.window[role] && (each.side === "gives") === (role === "y"));
    card.picture.marks = list;
    card.picture.draw();
  }
}

const MOST_SHOWN = 24; // channels: the largest parts of the sum

function showSum(step, cell) {
  const place = byId("sum");
  place.replaceChildren();
  place.hidden = !cell;
  if (!cell) return;
  const { channels, bias, total, kept, KH, KW } = summed(step.window, cell);
  const name = `y[0, ${cell.plane}, ${cell.i}, ${cell.j}]`;
  const scale = (key) => Math.max(...channels.flatMap((channel) => channel[key].map(Math.abs)));
  const scales = { window: scale("window"), kernel: scale("kernel"), products: scale("products") };
  const sorted = [...channels].sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
  const block = (channel) => element("div", { className: "channel" },
    element("div", { className: "which" }, `c = ${channel.c}`),
    grid(`x, channel ${channel.c}`, channel.window, KW, scales.window), element("span", { className: "sign" }, "⊙"),
    grid(`weight[${cell.plane}, ${channel.k}]`, channel.kernel, KW, scales.kernel), element("span", { className: "sign" }, "="),
    grid("products", channel.products, KW, scales.products),
    element("div", { className: "part" }, "Σ ", element("b", {}, number(channel.sum))));
  const rest = sorted.slice(MOST_SHOWN);
  const equation = element("p", { className: "equation" }, element("b", {}, name), ` = ${number(total)}`,
    element("span", { className: "muted" }, `  the sum of ${channels.length * KH * KW} products${bias === null ? "" : `, and the bias ${number(bias)}`}; the tape has ${number(kept)}`));
  const close = element("button", { type: "button", onclick: () => lightUp(null, true), "aria-label": "Close the sum" }, "×");
  place.append(element("header", {}, element("h3", {}, "The sum behind one value"), close), equation,
    element("div", { className: "channels", tabIndex: 0, role: "group", "aria-label": "Channels, the largest parts first" }, sorted.slice(0, MOST_SHOWN).map(block)));
  if (rest.length) place.append(element("p", { className: "muted rest" }, `The other ${rest.length} channels: ${number(rest.reduce((sum, channel) => sum + channel.sum, 0))}`));
  byId("reading").hidden = true;
  byId("step").querySelector(".columns").scrollIntoView({ block: "start" }); // pictures above, the sum below
  say(`${name} = ${number(total)}, the sum of ${channels.length * KH * KW} products. Largest part: channel ${sorted[0].c}, ${number(sorted[0].sum)}.`);
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
      cell.title = value === null ? "padding: 0" : number(value);
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
