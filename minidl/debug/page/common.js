// ------------------------------------------------------------------------------------------------------------ common
// Small things that all parts of the page use. All parts are one script; page.py puts them one behind the other.

const page = JSON.parse(document.getElementById("document").textContent); // its format: data.py
const byId = (id) => document.getElementById(id);

/** An element with properties, attributes (those with a dash) and children; null among the children is left out. */
function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) key in made ? (made[key] = value) : made.setAttribute(key, value);
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

function svgElement(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A number in four digits: 0.01234, 1.234e-7, −3.142. */
function number(value) {
  if (value === null || Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  let text = String(value);
  if (!Number.isInteger(value) || size >= 1e6) {
    text = size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : value.toPrecision(4);
  }
  return text.replace("e-", "e−").replace("e+", "e").replace(/^-/, "−");
}

const milliseconds = (ms) => `${ms < 100 ? +ms.toPrecision(2) : Math.round(ms)} ms`;
const shapeWords = (shape) => (shape.length ? shape.join(" × ") : "scalar");
const percent = (part) => (part === 0 ? "0 %" : part < 0.001 ? "< 0.1 %" : `${(100 * part).toFixed(part < 0.1 ? 1 : 0)} %`);
const bytesWords = (bytes) => (bytes < 1024 ? `${bytes} B` : bytes < 1 << 20 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / (1 << 20)).toFixed(1)} MiB`);

/** Say it to those who listen to the page. */
function say(words) {
  byId("live").textContent = words;
}

const dark = matchMedia("(prefers-color-scheme: dark)");

/** "light" or "dark": what the reader chose with the button, else what the system says. */
function theme() {
  return document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");
}
