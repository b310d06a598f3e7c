// -------------------------------------------------------------------------------------------------------------- page
// Which step is shown, and the ways from one to another: slider, buttons, keys, the graph, links, the address.

const last = page.steps.length - 1;
const isAlone = location.protocol !== "about:"; // in the frame of a notebook it has no address of its own
const images = Math.max(...page.tensors.map(({ data }) => (data?.kind === "maps" ? data.shape[0] : 1))); // of the batch
const state = { step: 0, image: 0, cards: [], updated: null };
const graph = new Graph(page.graph, byId("graph"), chooseNode);

/** Show a step. jump: the browser's "back" returns to where one was. tensor: the card to bring forward. */
function go(step, { jump = false, tensor = null } = {}) {
  state.step = Math.max(0, Math.min(last, step));
  const address = `#step=${state.step + 1}`;
  if (location.hash !== address && isAlone) history[jump ? "pushState" : "replaceState"](null, "", address);
  show();
  if (tensor !== null) {
    const card = state.cards.find((each) => each.index === tensor);
    card?.root.classList.add("found");
    card?.root.focus();
    card?.root.scrollIntoView({ block: "nearest" });
  }
}

function fromAddress() {
  const found = /^#step=(\d+)$/.exec(location.hash);
  go(found ? found[1] - 1 : page.start);
}

/** A node of the graph: its step in this phase, or the next of its steps if it is there already. */
function chooseNode(node) {
  const steps = page.graph.nodes[node].steps;
  if (!steps.length) return;
  const here = steps.indexOf(state.step);
  const inPhase = steps.find((step) => page.steps[step].phase === page.steps[state.step].phase);
  go(here >= 0 ? steps[(here + 1) % steps.length] : (inPhase ?? steps[0]), { jump: true });
}

/** To a phase: where the same operation is in it, else to its beginning. */
function choosePhase(phase) {
  const { node } = page.steps[state.step];
  const same = node === null ? [] : page.graph.nodes[node].steps.filter((step) => page.steps[step].phase === phase);
  const first = page.steps.findIndex((step) => step.phase === phase);
  if (same.length || first >= 0) go(same.length ? same[0] : first, { jump: true });
}

/** The first step of the next module, or of the one before. */
function goModule(by) {
  const key = (k) => page.steps[k].phase + page.steps[k].path;
  let k = state.step;
  while (k >= 0 && k <= last && key(k) === key(state.step)) k += by;
  if (by < 0) while (k > 0 && key(k - 1) === key(k)) k--;
  go(Math.max(0, Math.min(last, k)));
}

// ------------------------------------------------------------------------------------------------------ what is seen

function show() {
  const step = page.steps[state.step];
  const phase = page.phases.find((each) => each.name === step.phase);
  document.body.dataset.phase = step.phase;
  graph.show(step.node, step.phase);
  showStep(step, phase);
  byId("slider").value = state.step;
  const words = `Step ${state.step + 1} of ${last + 1}`;
  byId("slider").setAttribute("aria-valuetext", `${words}, ${step.phase}, ${stepWords(step)}`);
  byId("place").textContent = `${state.step + 1} / ${last + 1}`;
  for (const [id, is] of Object.entries({ first: state.step === 0, back: state.step === 0, next: state.step === last, last: state.step === last })) byId(id).setAttribute("aria-disabled", is);
  for (const button of byId("phases").children) button.setAttribute("aria-current", button.dataset.phase === step.phase);
  for (const bar of byId("bars").children) bar.classList.toggle("here", +bar.dataset.step === state.step);
  document.title = `${state.step + 1} ${stepWords(step)} – ${page.title}`;
  const out = page.tensors[step.gives[0]?.tensor];
  say(`${words}, ${step.phase}, ${stepWords(step)}${out ? `, ${step.gives[0].role} ${shapeWords(out.shape)}${out.value === undefined ? "" : ` = ${number(out.value)}`}` : ""}`);
}

function showStep(step, phase) {
  const root = byId("step");
  const formula = page.formulas[step.op] ?? { formula: "", note: "" };
  chosen = null;
  byId("reading").hidden = true;
  const names = [...step.path].flatMap((letter) => (letter === "." ? [".", element("wbr")] : [letter]));
  const head = element("header", { className: "step-head" },
    element("p", { className: "phase" }, `${PHASES[step.phase]} ${state.step - phase.first + 1} / ${phase.last - phase.first + 1}`),
    element("h2", {}, element("span", { className: "path" }, ...names), step.path ? " " : "", element("span", { className: "op" }, step.op)),
    element("p", { className: "muted settings" }, [step.settings, step.ms === null ? "" : milliseconds(step.ms)].filter(Boolean).join(" · ")));
  const more = formula.note ? element("details", {}, element("summary", {}, "Shapes, conventions, source"), element("pre", {}, formula.note)) : null;
  const rule = element("section", { className: "formula", "aria-label": "Formula" }, element("pre", {}, formula.formula), more);
  const source = step.source ? element("p", { className: "source" }, element("span", { className: "muted" }, step.source.place), " ", element("code", {}, step.source.line)) : "";
  state.cards = [];
  const column = (side, title) => {
    const cards = step[side].map((part) => ({ ...makeCard(part, side, step), side }));
    state.cards.push(...cards);
    return element("section", { className: side, "aria-label": title }, element("h3", {}, title), cards.map((card) => card.root));
  };
  root.replaceChildren(head, rule, source);
  const columns = element("div", { className: "columns" });
  const one = element("section", { id: "sum", hidden: true, "aria-label": "Behind one value" });
  root.append(...(step.update ? [one, columns] : [columns, one]));
  columns.append(column("takes", step.phase === "update" ? "before" : "takes"), column("gives", step.phase === "update" ? "after" : "gives"));
  state.updated = null;
  if (step.update) lightUpdate(step.update.parameters[0], null, true);
  root.scrollTop = 0;
}

/** Show another image of the batch, at the same step and place. */
function goImage(image) {
  state.image = (image + images) % images;
  for (const button of byId("images").children) {
    const isChosen = +button.dataset.image === state.image;
    button.setAttribute("aria-checked", isChosen);
    button.tabIndex = isChosen ? 0 : -1;
  }
  const top = byId("step").scrollTop, cell = chosen;
  showStep(page.steps[state.step], page.phases.find((each) => each.name === page.steps[state.step].phase));
  byId("step").scrollTop = top;
  if (cell) lightUp(cell, true);
  say(`image ${state.image}`);
}

/** A button for each image that the network was given, with the image on it. */
function imageButtons() {
  const input = page.steps[0].takes.map(({ tensor }) => page.tensors[tensor]).find(({ data }) => data?.kind === "maps");
  return range(0, images).map((image) => {
    const button = element("button", { type: "button", role: "radio", "aria-label": `image ${image}`, title: `Image ${image} of the batch (i)`, onclick: () => goImage(image) },
      input && input.data.shape[0] === images ? thumbnail(input, image) : String(image));
    button.dataset.image = image;
    return button;
  });
}

// -------------------------------------------------------------------------------------------------------------- once

function build() {
  byId("title").textContent = page.title;
  byId("facts").append(...page.facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  byId("slider").max = last;
  byId("phases").append(...page.phases.map(({ name, first, last: end, ms }) => {
    const button = element("button", { type: "button", onclick: () => choosePhase(name), "aria-keyshortcuts": name[0] },
      element("b", {}, PHASES[name]), ` ${end - first + 1} steps`, ms ? element("span", { className: "muted" }, ` ${milliseconds(ms)}`) : null);
    button.dataset.phase = name;
    return button;
  }));
  // A bar for each step, as high as it took long, on the scale of a square root.
  const most = Math.sqrt(Math.max(...page.steps.map((step) => step.ms ?? 0))) || 1;
  byId("bars").setAttribute("viewBox", `0 0 ${page.steps.length} 1`);
  byId("bars").append(...page.steps.map((step, k) => {
    const tall = Math.max(0.12, Math.sqrt(step.ms ?? 0) / most);
    const bar = svgElement("rect", { x: k + 0.08, y: 1 - tall, width: 0.84, height: tall, class: step.phase });
    bar.dataset.step = k;
    return bar;
  }));
}

/** The theme: as the system has it, until the button chooses; then the other one. */
function setTheme(choice) {
  if (choice) document.documentElement.dataset.theme = choice;
  byId("theme").textContent = theme() === "dark" ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", `${theme() === "dark" ? "Light" : "Dark"} colours`);
  for (const card of state.cards) card.picture?.draw();
  byId("images").replaceChildren(...(images > 1 ? imageButtons() : []));
  byId("images").hidden = images === 1;
  if (images > 1) goImage(state.image);
  if (chosen) showSum(page.steps[state.step], chosen);
}

const KEYS = {
  ArrowRight: () => go(state.step + 1),
  ArrowLeft: () => go(state.step - 1),
  PageDown: () => goModule(1),
  PageUp: () => goModule(-1),
  Home: () => go(0),
  End: () => go(last),
  f: () => choosePhase("forward"),
  b: () => choosePhase("backward"),
  u: () => choosePhase("update"),
  n: () => byId("graph").querySelector("[tabindex='0']")?.focus(),
  t: () => state.cards[0]?.root.focus(),
  i: () => images > 1 && goImage(state.image + 1),
  Escape: () => (chosen ? lightUp(null, true) : state.updated && lightUpdate(state.updated.parameter, null, true)),
  "?": () => byId("keys").showModal(),
};

function listen() {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || byId("keys").open) return;
    if (!(event.key in KEYS)) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  byId("images").addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    goImage(state.image + by);
    byId("images").children[state.image].focus();
  });
  byId("slider").addEventListener("input", (event) => go(+event.target.value));
  byId("first").onclick = KEYS.Home;
  byId("back").onclick = KEYS.ArrowLeft;
  byId("next").onclick = KEYS.ArrowRight;
  byId("last").onclick = KEYS.End;
  byId("open-all").onclick = () => graph.openAll(true);
  byId("close-all").onclick = () => graph.openAll(false);
  byId("help").onclick = KEYS["?"];
  byId("theme").onclick = () => setTheme(theme() === "dark" ? "light" : "dark");
  dark.addEventListener("change", () => setTheme());
  addEventListener("popstate", fromAddress);
  addEventListener("hashchange", fromAddress);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (Math.abs(innerWidth - width) > 40) show(); // pictures are as large as there is room
    width = innerWidth;
  });
}

build();
fromAddress();
setTheme();
listen();
document.documentElement.dataset.ready = "true";
