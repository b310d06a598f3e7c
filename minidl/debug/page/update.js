// ------------------------------------------------------------------------------------------------------------ update
// What the optimizer did to one value of a parameter: its formula, with the numbers in it.

/** Lines {name, symbols, numbers, result}. `old` and `now` have the numbers before and after by name, s the settings. */
const EQUATIONS = { SGD: sgdLines, Adam: adamLines, AdamW: adamLines };

function gradientLine(old, p, s, decay) {
  const sign = s.maximize ? "−" : "";
  const g = (s.maximize ? -old.grad : old.grad) + decay * p;
  const more = decay ? [" + weight_decay · p", ` + ${setting(decay)} · ${bracketed(p)}`] : ["", ""];
  return { name: "g", symbols: `${sign}gradient${more[0]}`, numbers: decay || s.maximize ? `${sign}${bracketed(old.grad)}${more[1]}` : "", result: g };
}

function sgdLines(old, s) {
  const lines = [gradientLine(old, old.param, s, s.weight_decay)];
  const g = lines[0].result;
  let step = g, name = "g";
  if (s.momentum) {
    const before = old.momentum_buffer, fresh = before === undefined ? 1 : 1 - s.dampening;
    const v = s.momentum * (before ?? 0) + fresh * g;
    const [sign, by] = fresh === 1 ? ["g", bracketed(g)] : [`${setting(fresh)} · g`, `${setting(fresh)} · ${bracketed(g)}`];
    lines.push(before === undefined ? { name: "v", symbols: "g, in the first step", numbers: "", result: v }
      : { name: "v", symbols: `momentum · v + ${sign}`, numbers: `${setting(s.momentum)} · ${bracketed(before)} + ${by}`, result: v });
    [step, name] = s.nesterov ? [g + s.momentum * v, "d"] : [v, "v"];
    if (s.nesterov) lines.push({ name, symbols: "g + momentum · v", numbers: `${number(g)} + ${setting(s.momentum)} · ${bracketed(v)}`, result: step });
  }
  return [...lines, { name: "p", symbols: `p − lr · ${name}`, numbers: `${number(old.param)} − ${setting(s.lr)} · ${bracketed(step)}`, result: old.param - s.lr * step }];
}

function adamLines(old, s) {
  const [beta1, beta2] = s.betas, t = s.step, lines = [];
  let p = old.param;
  if (s.decoupled_weight_decay && s.weight_decay) {
    p *= 1 - s.lr * s.weight_decay;
    lines.push({ name: "p", symbols: "p − lr · weight_decay · p", numbers: `${number(old.param)} − ${setting(s.lr)} · ${setting(s.weight_decay)} · ${bracketed(old.param)}`, result: p });
  }
  lines.push(gradientLine(old, p, s, s.decoupled_weight_decay ? 0 : s.weight_decay));
  const g = lines.at(-1).result;
  const mean = (name, before, beta, of, symbol) => {
    const result = beta * before + (1 - beta) * of;
    lines.push({ name, symbols: `β · ${name} + (1 − β) · ${symbol}`, numbers: `${setting(beta)} · ${bracketed(before)} + ${setting(1 - beta)} · ${bracketed(of)}`, result });
    return result;
  };
  const m = mean("m", old.exp_avg ?? 0, beta1, g, "g");
  let v = mean("v", old.exp_avg_sq ?? 0, beta2, g * g, "g²");
  if (s.amsgrad) v = Math.max(v, old.max_exp_avg_sq ?? 0);
  const [M, V] = [m / (1 - beta1 ** t), v / (1 - beta2 ** t)];
  lines.push({ name: "m′", symbols: "m / (1 − βᵗ)", numbers: `t = ${t}`, result: M }, { name: "v′", symbols: "v / (1 − βᵗ)", numbers: s.amsgrad ? "of the largest v so far" : "", result: V });
  return [...lines, { name: "p", symbols: "p − lr · m′ / (√v′ + ε)", numbers: `${number(p)} − ${setting(s.lr)} · ${bracketed(M)} / (√${number(V)} + ${setting(s.eps)})`, result: p - (s.lr * M) / (Math.sqrt(V) + s.eps) }];
}

const setting = (value) => number(value).replace(/(\.\d*?)0+(?=e|$)/, "$1").replace(/\.(?=e|$)/, ""); // 0.9, not 0.9000
const bracketed = (value) => (value < 0 ? `(${number(value)})` : number(value));

/** The number of a tensor at some indices; undefined where it is not in the page. */
function numberAt(index, indices) {
  const tensor = page.tensors[index];
  if (tensor.value !== undefined) return tensor.value;
  const picture = state.cards.find((card) => card.index === index)?.picture;
  const cell = picture?.cellOf(indices);
  return cell ? picture.value(cell) : undefined;
}

/** Where a parameter changed most, as far as it is shown. */
function mostChanged(parameter) {
  const [before, after] = [parameter.param, parameter.new_param].map((index) => state.cards.find((card) => card.index === index)?.picture);
  let most = { by: -1, indices: [] };
  const { planes, rows, columns, index } = after?.plan ?? { planes: 0 };
  for (let plane = 0; plane < planes; plane++) {
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        const indices = index(plane, i, j), cell = before?.cellOf(indices);
        const by = cell ? Math.abs(after.value({ plane, i, j }) - before.value(cell)) : -1;
        if (by > most.by) most = { by, indices };
      }
    }
  }
  return most.indices;
}

/** Frames around one value of a parameter in all its pictures; and, if it `stays`, its update in numbers. */
function lightUpdate(parameter, indices, stays) {
  const step = page.steps[state.step];
  if (stays) {
    state.updated = { parameter, indices: indices ?? mostChanged(parameter), isMost: !indices };
    showUpdate(step);
    if (indices) say(byId("sum").textContent);
  }
  const now = indices ? { parameter, indices } : state.updated;
  for (const card of state.cards.filter((each) => each.picture)) {
    const cell = now && Object.values(now.parameter).includes(card.index) ? card.picture.cellOf(now.indices) : null;
    card.picture.marks = cell ? [cell] : [];
    card.picture.draw();
  }
}

function showUpdate(step) {
  const { parameter, indices, isMost } = state.updated, place = byId("sum");
  const at = Object.fromEntries(Object.entries(parameter).map(([name, index]) => [name, numberAt(index, indices)]));
  const role = state.cards.find((card) => card.index === parameter.new_param).role;
  const name = `${role}[${indices.join(", ")}]`;
  const lines = at.param === undefined || at.grad === undefined ? [] : (EQUATIONS[step.op]?.(at, step.update.settings) ?? []);
  const row = ({ name, symbols, numbers, result }) => element("tr", {}, element("th", { scope: "row" }, name),
    ...[symbols, numbers].map((words) => [element("td", { className: "equals" }, words ? "=" : ""), element("td", {}, words)]).flat(),
    element("td", { className: "equals" }, "="), element("td", { className: "result" }, number(result)));
  const table = lines.length ? element("table", { className: "equations" }, element("tbody", {}, lines.map(row))) : null;
  const states = Object.keys(parameter).filter((key) => key.startsWith("new_"));
  const changes = element("table", { className: "changes" }, element("thead", {}, element("tr", {}, ["", "before", "after"].map((words) => element("th", { scope: "col" }, words)))),
    element("tbody", {}, states.map((key) => element("tr", {}, element("th", { scope: "row" }, key === "new_param" ? role : key.slice(4)),
      ...[at[key.slice(4)], at[key]].map((value) => element("td", {}, value === undefined ? "–" : number(value)))))));
  place.hidden = false;
  place.className = "update";
  place.replaceChildren(element("header", {}, element("h3", {}, "The update of one value: ", element("b", {}, name), isMost ? ", which changed most" : "")),
    element("div", { className: "numbers" }, table, changes));
}
