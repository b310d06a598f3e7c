// ------------------------------------------------------------------------------------------------------------- graph
// The network as a picture and, for the keyboard and for screen readers, as a tree: a frame can be folded.
// Everything was put at its place in Python. To fold a frame, the rows that only it takes are cut out of the picture.

const HEADER = 24, PAD = 9, EDGE = 14, CLOSED = 200;

class Graph {
  /** `choose(node)` is called with the number of a node that was clicked. */
  constructor(graph, place, choose) {
    Object.assign(this, { graph, place, choose });
    this.open = new Set(); // frames that the reader opened; those around the current node are open too
    this.shut = new Set(); // and those that the reader closed, until the steps move on
    this.current = null;
    this.focused = null;
    place.addEventListener("keydown", (event) => this.key(event));
    place.addEventListener("click", (event) => this.click(event));
    addEventListener("resize", () => this.draw());
    place.addEventListener("focusin", (event) => (this.focused = event.target.id));
    this.inner = graph.frames.map((frame, id) => ({
      frames: graph.frames.flatMap((each, i) => (each.parent === id ? [i] : [])),
    }));
    this.boxOf = new Map(graph.boxes.flatMap((box, i) => box.bands.map((band) => [band.node, i])));
  }

  isOpen(id) {
    return !this.shut.has(id) && (this.open.has(id) || this.around.has(id));
  }

  /** The frames around a box or a frame, the innermost first. */
  *parents(item) {
    for (let id = item.parent; id >= 0; id = this.graph.frames[id].parent) yield id;
  }

  isSeen(item) {
    for (const id of this.parents(item)) if (!this.isOpen(id)) return false;
    return true;
  }

  openAll(isOpen) {
    this.open = new Set(isOpen ? this.graph.frames.keys() : []);
    this.shut = new Set(isOpen ? [] : this.graph.frames.keys());
    this.draw();
    this.center();
  }

  toggle(id) {
    if (this.isOpen(id)) {
      this.open.delete(id);
      this.shut.add(id);
    } else {
      this.shut.delete(id);
      this.open.add(id);
    }
    this.draw();
  }

  /** Light up a node (null: none), in a phase. */
  show(node, phase) {
    const number = this.boxOf.get(node), box = this.graph.boxes[number];
    // Light up the lines that the values, or their gradients, come along: to the first band of a box, to its last.
    const [into, direction] = phase === "forward" ? [box?.bands[0], "into"] : [box?.bands.at(-1), "out_of"];
    const lines = phase === "update" || !box || into.node !== node ? [] : this.graph[direction][number];
    this.lit = new Set(lines.map((line) => this.graph.lines[line]));
    const around = new Set(box ? this.parents(box) : []);
    const moved = [...around].some((id) => !this.around?.has(id)) || around.size !== this.around?.size;
    if (moved) this.shut.clear();
    Object.assign(this, { current: node, phase, around });
    this.draw();
    this.center();
  }

  center() {
    this.place.querySelector("[aria-current]")?.scrollIntoView({ block: "center", inline: "center" });
  }

  /** y in the picture as it is folded now, for a y of the whole picture. */
  fold() {
    const seenFrames = this.graph.frames.filter((frame) => this.isSeen(frame));
    const cut = seenFrames.filter((frame) => !this.isOpen(this.graph.frames.indexOf(frame))).map((frame) => [frame.y + HEADER, frame.y + frame.height]);
    const kept = [
      ...this.graph.boxes.filter((box) => this.isSeen(box)).map((box) => [box.y - EDGE, box.y + box.height + EDGE]),
      ...seenFrames.map((frame) => [frame.y - EDGE, frame.y + HEADER]),
    ];
    // Sweep over all borders: a row is cut out where a closed frame is and nothing that is seen.
    const borders = [...new Set([...cut, ...kept].flat())].sort((a, b) => a - b);
    const pieces = [];
    let gone = 0;
    for (let k = 0; k + 1 < borders.length; k++) {
      const [from, to] = [borders[k], borders[k + 1]];
      const within = ([a, b]) => a <= from && to <= b;
      const isCut = cut.some(within) && !kept.some(within);
      pieces.push([from, to, gone, isCut]);
      if (isCut) gone += to - from;
    }
    return (y) => {
      let lost = 0;
      for (const [from, to, before, isCut] of pieces) {
        if (y < from) break;
        lost = before + (isCut ? Math.min(y, to) - from : 0);
      }
      return y - lost;
    };
  }

  draw() {
    const { graph } = this;
    const y = this.fold();
    // As wide as what is seen; large enough to be read, and as the place if it can be.
    const seen = [...graph.boxes.filter((box) => this.isSeen(box)), ...graph.frames.filter((frame) => this.isSeen(frame)).map((frame) => this.extent(frame))];
    const left = Math.min(...seen.map((item) => item.x)) - EDGE, width = Math.max(...seen.map((item) => item.x + item.width)) + EDGE - left;
    const svg = svgElement("svg", { viewBox: `${left} ${-EDGE} ${width} ${y(graph.height) + 2 * EDGE}`, role: "tree", "aria-label": "Modules and operations" });
    this.widest = Math.max(this.widest ?? 0, width * 0.8); // the place grows with it, as far as it may, and stays so
    document.body.style.setProperty("--graph", `calc(${this.widest.toFixed()}px + 1.8rem)`);
    // Somewhat smaller where all of it can be seen at once then.
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize), wide = (width / 12) * rem;
    const whole = ((this.place.clientHeight - 1.5 * rem) * width) / (y(graph.height) + 2 * EDGE);
    const fits = whole > 0.72 * Math.min(wide, this.place.clientWidth - 1.2 * rem) ? Math.min(whole, wide) : wide;
    svg.style.width = `max(${(width * 0.8).toFixed()}px, min(100%, ${fits.toFixed()}px))`;
    const level = (parent, depth) => [
      ...graph.lines.filter((line) => line.parent === parent).map((line) => this.line(line, y)),
      ...graph.order.filter(({ frame, box }) => (frame !== undefined ? graph.frames[frame] : graph.boxes[box]).parent === parent)
        .flatMap(({ frame, box }) => (frame !== undefined ? [this.frame(frame, y, depth, level)] : this.box(box, y, depth))),
      ...graph.lines.filter((line) => line.parent === parent && line.label).map((line) => this.label(line, y)),
    ];
    svg.append(...level(-1, 1));
    const hadFocus = this.place.contains(document.activeElement) ? this.focused : null;
    const scroll = this.place.scrollTop;
    this.place.replaceChildren(svg);
    this.place.scrollTop = scroll;
    // Tab comes to one item of the tree; the arrow keys go on from there.
    const stop = byId(hadFocus) ?? this.place.querySelector("[aria-current]") ?? this.place.querySelector("[role=treeitem]");
    stop?.setAttribute("tabindex", "0");
    if (hadFocus) stop?.focus({ preventScroll: true });
  }

  /** Where a frame is from left to right: a closed one needs no more room than its words, around the line into it. */
  extent(frame) {
    if (this.isOpen(this.graph.frames.indexOf(frame))) return frame;
    const width = Math.min(frame.width, Math.max(frame.closed, CLOSED));
    return { ...frame, x: frame.entry - width / 2, width };
  }

  frame(id, y, depth, level) {
    const frame = this.extent(this.graph.frames[id]), isOpen = this.isOpen(id);
    const top = y(frame.y), height = Math.max(HEADER, y(frame.y + frame.height) - top);
    const item = svgElement("g", { id: `frame-${id}`, role: "treeitem", tabindex: "-1", "aria-level": depth, "aria-expanded": isOpen, "aria-label": `${frame.path}${frame.note ? `, ${frame.note}` : ""}`, class: "frame" });
    const back = svgElement("rect", { x: frame.x, y: top, width: frame.width, height: isOpen ? height : HEADER, rx: 5, class: `tint${frame.depth % 2}` });
    const head = svgElement("g", { class: "head" },
      svgElement("rect", { x: frame.x, y: top, width: frame.width, height: HEADER, rx: 5, class: `header${frame.depth % 2}` }),
      svgElement("path", { d: isOpen ? `M${frame.x + 8} ${top + 10}l4 5l4 -5` : `M${frame.x + 10} ${top + 8}l5 4l-5 4`, class: "sign" }));
    const label = svgElement("text", { x: frame.x + 22, y: top + 16, class: "name" });
    label.append(frame.label);
    if (frame.note) label.append(svgElement("tspan", { dx: 7, class: "note" }, frame.note));
    head.append(label);
    if (frame.number) head.append(svgElement("text", { x: frame.x + frame.width - PAD, y: top + 16, "text-anchor": "end", class: "note" }, frame.number));
    item.append(back, head);
    if (isOpen) item.append(svgElement("g", { role: "group" }, ...level(id, depth + 1)));
    return item;
  }

  /** A box has a band for each of its operations. */
  box(id, y, depth) {
    const box = this.graph.boxes[id], top = y(box.y);
    return box.bands.map((band, i) => {
      const isCurrent = band.node === this.current;
      const words = `${band.path ? `${band.path}, ` : ""}${band.label}`;
      const item = svgElement("g", { id: `node-${band.node}`, role: "treeitem", tabindex: "-1", "aria-level": depth, "aria-label": words, class: `node ${band.kind}${isCurrent ? ` here ${this.phase}` : ""}` });
      if (isCurrent) item.setAttribute("aria-current", "step");
      const [left, right, bandTop] = [box.x + PAD, box.x + box.width - PAD, top + band.y];
      const text = (x, line, words, kind, anchor = "start") => svgElement("text", { x, y: bandTop + line, class: kind, "text-anchor": anchor }, words);
      const round = box.round || !band.steps ? box.height / 2 : box.bands.length === 1 || i === 0 || i === box.bands.length - 1 ? 4 : 0;
      item.append(svgElement("rect", { x: box.x, y: bandTop, width: box.width, height: band.height, rx: round, class: "shape" }));
      const middle = band.height / 2 + 4.2;
      if (box.round || !band.steps) item.append(text(box.x + box.width / 2, middle, band.label, "name", "middle"));
      else if (band.two) {
        item.append(text(left, 16, band.label, "name"));
        if (band.note) item.append(text(left, 31, band.note, "note"));
        if (band.number) item.append(text(right, 31, band.number, "note", "end"));
      } else {
        item.append(text(left, middle, band.label, ""));
        if (band.number) item.append(text(right, middle, band.number, "note", "end"));
      }
      return item;
    });
  }

  line(line, y) {
    const points = line.points.map(([px, py]) => [px, y(py)]);
    let path = `M${points[0]}`;
    for (let i = 0; i + 1 < points.length; i++) {
      const [[ax, ay], [bx, by]] = [points[i], points[i + 1]];
      path += ax === bx || ay === by ? `L${bx} ${by}` : `C${ax} ${(ay + by) / 2} ${bx} ${(ay + by) / 2} ${bx} ${by}`;
    }
    const lit = this.lit?.has(line) ? ` lit ${this.phase}` : "";
    const group = svgElement("g", { class: `edge${lit}`, "aria-hidden": "true" }, svgElement("path", { d: path, class: "line" }));
    const isBack = lit && this.phase === "backward"; // gradients go against the arrow
    if (line.arrow || isBack) {
      const [[px, py], [x, yEnd]] = isBack ? points.slice(0, 2).reverse() : points.slice(-2);
      const level = py === yEnd && px !== x, sign = Math.sign(x - px);
      const down = isBack ? -1 : 1;
      group.append(svgElement("path", { class: "arrow", d: level ? `M${x} ${yEnd}l${-7 * sign} -4v8z` : `M${x} ${yEnd}l-4 ${-7 * down}h8z` }));
    }
    return group;
  }

  label(line, y) {
    const [x, top] = line.points[0];
    return svgElement("text", { x: x + 6 * line.side, y: y(top) + 14, class: "size", "text-anchor": line.side > 0 ? "start" : "end", "aria-hidden": "true" }, line.label);
  }

  click(event) {
    const item = event.target.closest("[role=treeitem]");
    if (item) this.enter(item);
  }

  enter(item) {
    const [kind, id] = item.id.split("-");
    this.focused = item.id;
    if (kind === "frame") this.toggle(+id);
    else this.choose(+id);
  }

  key(event) {
    const items = [...this.place.querySelectorAll("[role=treeitem]")];
    const at = items.indexOf(document.activeElement);
    if (at < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    const here = items[at], expanded = here.getAttribute("aria-expanded");
    const outer = here.parentNode.closest("[role=treeitem]");
    let to = null;
    if (event.key === "ArrowDown") to = items[at + 1];
    else if (event.key === "ArrowUp") to = items[at - 1];
    else if (event.key === "Home") to = items[0];
    else if (event.key === "End") to = items.at(-1);
    else if (event.key === "ArrowRight" && expanded === "false") this.enter(here);
    else if (event.key === "ArrowRight") to = expanded ? items[at + 1] : null;
    else if (event.key === "ArrowLeft" && expanded === "true") this.enter(here);
    else if (event.key === "ArrowLeft") to = outer;
    else if (event.key === "Enter" || event.key === " ") this.enter(here);
    else return;
    event.preventDefault();
    event.stopPropagation();
    if (to) {
      here.setAttribute("tabindex", "-1");
      to.setAttribute("tabindex", "0");
      to.focus();
    }
  }
}
