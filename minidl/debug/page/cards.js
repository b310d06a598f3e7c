// ------------------------------------------------------------------------------------------------------------- cards
// A card shows one tensor: name, shape, statistics, histogram, picture, and the steps that made it and that take it.

const PHASES = { forward: "Forward", backward: "Backward", update: "Update" };

/** conv1 · Conv2d; of an operation outside of modules, its name alone. */
const stepWords = (step) => (step.path ? `${step.path} · ${step.op}` : step.op);

/** {root, role, tensor, picture}: the card of the tensor that has this role in a step. */
function makeCard({ role, tensor: index }, side, step) {
  const tensor = page.tensors[index];
  const card = { role, tensor, index, picture: null };
  const name = element("h4", { id: `${side}-${role}` }, element("b", {}, role), " ", element("span", { className: "shape" }, shapeWords(tensor.shape)));
  const about = element("span", { className: "muted" }, `${tensor.dtype} · ${bytesWords(tensor.bytes)}`);
  card.root = element("article", { className: "card", tabIndex: -1, "aria-labelledby": name.id }, element("header", {}, name, about));
  card.root.dataset.tensor = index;
  const body = element("div", { className: tensor.data?.kind === "vector" ? "body flat" : "body" });
  const figure = pictureOf(card, side, step);
  if (figure) body.append(figure);
  body.append(statistics(tensor));
  card.root.append(body, links(card, step));
  return card;
}

function pictureOf(card, side, step) {
  const { tensor } = card;
  if (tensor.value !== undefined) return element("div", { className: "scalar" }, number(tensor.value));
  if (!tensor.data) return element("p", { className: "muted left-out" }, tensor.left_out);
  const room = byId("step").clientWidth;
  const flat = tensor.data.kind === "vector"; // a strip, as long as the card is wide
  const width = flat ? room / 2 - 72 : Math.max(180, Math.min(340, room * 0.25));
  const picture = (card.picture = new Picture(tensor, width, width));
  const { plan, canvas } = picture;
  card.explain = explanation(card, side, step);
  const what = { maps: "channels", filters: "kernels" }[tensor.data.kind];
  const parts = [];
  if (what) parts.push(tensor.data.kind === "maps" && tensor.shape.length === 4 && tensor.shape[0] > 1 ? `image ${imageOf(tensor)}` : "", plan.planes < plan.of ? `${plan.planes} of ${plan.of} ${what}` : plan.of > 1 ? `${plan.of} ${what}` : "");
  if (tensor.data.every.some((every) => every > 1)) parts.push(`one value in ${Math.max(...tensor.data.every)}`);
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application"); // so that screen readers leave the arrow keys to it
  canvas.setAttribute("aria-roledescription", "picture of values");
  canvas.setAttribute("aria-label", `${card.role}, ${shapeWords(tensor.shape)}. Arrow keys read single values${card.explain ? `, Enter shows ${card.explain.words}` : ""}.`);
  const isTooLarge = side === "gives" && step.op === "Conv2d" && step.phase === "forward" && !step.window;
  const hint = card.explain?.hint ? element("span", { className: "hint" }, card.explain.hint) : isTooLarge ? element("span", {}, "too large here for the sums of single values") : null;
  new Reader(card);
  return element("figure", {}, canvas, element("figcaption", {}, parts.some(Boolean) ? element("span", {}, parts.filter(Boolean).join(", ")) : null, hint));
}

function statistics(tensor) {
  const { stats } = tensor;
  const row = (name, value, kind = "") => element("div", {}, element("dt", {}, name), element("dd", { className: kind }, value));
  const list = element("dl", { className: "stats" });
  const root = element("div", { className: "facts" });
  if (tensor.histogram) {
    root.append(histogram(tensor.histogram), element("div", { className: "axis", "aria-hidden": "true" }, element("span", {}, number(stats.low)), element("span", {}, number(stats.high))));
  }
  if (tensor.labels) list.append(row("values", tensor.labels.join("\u2002")));
  else if (tensor.value === undefined) {
    list.append(row("mean", number(stats.mean)), row("std", number(stats.std)), row("least", number(stats.low)), row("most", number(stats.high)), row("zeros", percent(stats.zero)));
  }
  if (stats.nan) list.append(row("NaN", stats.nan.toLocaleString("en"), "bad"));
  if (stats.inf) list.append(row("infinite", stats.inf.toLocaleString("en"), "bad"));
  root.append(list);
  return root;
}

/** Where the tensor came from, where it goes, and its gradient or the value that it is the gradient of. */
function links(card, step) {
  const { tensor, index } = card;
  const here = page.steps.indexOf(step);
  const button = (to, sign, what, of = index) => element("button", {
    type: "button", className: page.steps[to].phase, onclick: () => go(to, { jump: true, tensor: of }),
    "aria-label": `${what} step ${to + 1}, ${page.steps[to].phase}, ${stepWords(page.steps[to])}`, title: `${what} step ${to + 1}`,
  }, sign, " ", stepWords(page.steps[to]), page.steps[to].phase === "backward" && !sign.startsWith("∂") ? ", backward" : ""); // not by colour alone
  const made = tensor.made !== null && tensor.made !== here ? [button(tensor.made, "←", "made by")] : [];
  const users = tensor.used.filter((user) => user !== here);
  const shown = users.slice(0, 3).map((user) => button(user, "→", "taken by"));
  const more = users.length > 3 ? [element("span", { className: "muted" }, `and ${users.length - 3} more`)] : [];
  const partner = [[tensor.gradient, "∂", "its gradient:"], [tensor.of, "∂ of", "the gradient of what stands in"]].flatMap(([other, sign, what]) => {
    const at = other === null ? null : (page.tensors[other].made ?? page.tensors[other].used[0]);
    return at === null || at === undefined || at === here ? [] : [button(at, sign, what, other)];
  });
  const all = [...made, ...shown, ...more, ...partner];
  if (tensor.note) all.unshift(element("span", { className: "muted" }, tensor.note));
  return element("footer", { className: "links" }, ...all);
}

/** How one value of a card's picture came about, if that can be shown: {words, hint, light(cell, stays)}. */
function explanation(card, side, step) {
  if (step.window && side === "gives" && step.window.y === card.index) return { words: "how it was computed", hint: HINTS[step.window.kind], light: lightUp };
  const parameter = step.update?.parameters.find((each) => Object.values(each).includes(card.index));
  if (!parameter || !card.picture) return null;
  return { words: "its update", hint: side === "gives" && parameter.new_param === card.index ? "click a value: its update" : "",
    light: (cell, stays) => lightUpdate(parameter, cell && card.picture.plan.index(cell.plane, cell.i, cell.j), stays) };
}

/** Reads single values of a card's picture, with the pointer or with keys; and asks how one came about. */
class Reader {
  constructor(card) {
    Object.assign(this, { card, cell: { plane: 0, i: 0, j: 0 } });
    const { canvas } = card.picture;
    canvas.addEventListener("pointermove", (event) => this.point(event));
    canvas.addEventListener("pointerleave", () => this.leave());
    canvas.addEventListener("click", (event) => this.choose(card.picture.cell(event.offsetX, event.offsetY)));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => canvas.matches(":focus-visible") && this.read());
    canvas.addEventListener("blur", () => this.leave());
  }

  point(event) {
    const cell = this.card.picture.cell(event.offsetX, event.offsetY);
    if (!cell) return this.leave();
    this.note(cell, event.clientX, event.clientY);
    this.card.explain?.light(cell, false);
  }

  note(cell, x, y) {
    const note = byId("reading");
    note.textContent = this.card.picture.words(this.card.role, cell);
    note.hidden = false;
    const beyond = x + note.offsetWidth + 24 > innerWidth;
    note.style.left = `${beyond ? x - note.offsetWidth - 14 : x + 14}px`;
    note.style.top = `${Math.max(4, y - 34)}px`;
  }

  leave() {
    byId("reading").hidden = true;
    if (this.card.explain) this.card.explain.light(null, false);
    else this.mark([]);
  }

  mark(marks) {
    this.card.picture.marks = marks;
    this.card.picture.draw();
  }

  choose(cell) {
    if (cell && this.card.explain) {
      this.cell = cell;
      this.card.explain.light(cell, true);
    }
  }

  /** Show and say the value that the keys have come to. */
  read() {
    const { picture, role } = this.card;
    if (this.card.explain) this.card.explain.light(this.cell, false);
    else this.mark([this.cell]);
    const [x, y] = picture.origin(this.cell.plane);
    const box = picture.canvas.getBoundingClientRect();
    this.note(this.cell, box.left + (x + (this.cell.j + 1) * picture.wide) / picture.dense, box.top + (y + this.cell.i * picture.high) / picture.dense);
    say(picture.words(role, this.cell));
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const { planes, rows, columns } = this.card.picture.plan;
    const moves = { ArrowUp: ["i", -1, rows], ArrowDown: ["i", 1, rows], ArrowLeft: ["j", -1, columns], ArrowRight: ["j", 1, columns], PageUp: ["plane", -1, planes], PageDown: ["plane", 1, planes] };
    if (event.key in moves) {
      const [axis, by, size] = moves[event.key];
      this.cell = { ...this.cell, [axis]: Math.max(0, Math.min(size - 1, this.cell[axis] + by)) };
      this.read();
    } else if (event.key === "Enter" && this.card.explain) this.choose(this.cell);
    else if (event.key === "Escape" && this.card.explain) this.card.explain.light(null, true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
