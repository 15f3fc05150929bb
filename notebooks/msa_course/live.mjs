// What every live explorer shares: numbers that Python stored, sliders, colours of the host's theme.
// live.py puts this in front of an explorer's own module, whose `render({ model, el })` draws.

const BYTES = { u8: Uint8Array, u16: Uint16Array, i32: Int32Array, f32: Float32Array };

// A stored array: { shape, values }, quantised numbers as they were to half a step.
function unpack({ type, shape, data, step = 1, offset = 0 }) {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const raw = new BYTES[type](bytes.buffer);
  const values = step === 1 && offset === 0 ? raw : Float64Array.from(raw, (x) => x * step + offset);
  return { shape, values };
}

const STYLE = `
.msa { --ink: #1a1a1a; --soft: #595959; --line: #c8c8c8; --page: #fff; --hidden: #f0f0f0; --visible: #56b4e9;
  --chosen: #0072b2; --forced: #e69f00; --bug: #d55e00; --on-chosen: #fff;
  font: 14px/1.45 system-ui, sans-serif; color: var(--ink); max-width: 60em; }
.msa[data-theme=dark] { --ink: #ececec; --soft: #b0b0b0; --line: #555; --page: #111; --hidden: #2b2b2b; }
.msa label { display: flex; flex-wrap: wrap; gap: .2em .8em; align-items: center; margin: .2em 0; }
.msa label > span { min-width: 11em; } .msa input[type=range] { flex: 1 1 12em; max-width: 24em; }
.msa output { min-width: 4em; font-variant-numeric: tabular-nums; }
.msa svg { display: block; width: 100%; height: auto; overflow: visible; } .msa svg text { fill: var(--ink); }
.msa button { font: inherit; color: inherit; background: none; border: 1px solid var(--soft); border-radius: 4px; }
.msa :focus-visible { outline: 3px solid var(--forced); outline-offset: 1px; }
`;

// An element with attributes and children; of SVG when its name begins with "svg:".
function make(name, attributes = {}, ...children) {
  const [kind, tag] = name.startsWith("svg:") ? ["http://www.w3.org/2000/svg", name.slice(4)] : [null, name];
  const node = kind ? document.createElementNS(kind, tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// A labelled slider; `changed(value)` at every step, by mouse or arrow keys.
function slider(label, { min, max, value, step = 1, show = String }, changed) {
  const input = make("input", { type: "range", min, max, step, value, "aria-label": label });
  const shown = make("output", {}, show(value));
  const tell = () => input.setAttribute("aria-valuetext", show(+input.value));
  input.addEventListener("input", () => {
    shown.value = show(+input.value);
    tell();
    changed(+input.value);
  });
  // JupyterLab takes letters and arrows typed in a cell as commands, but for what stops here.
  input.addEventListener("keydown", (event) => event.stopPropagation());
  tell();
  return make("label", {}, make("span", {}, label), input, shown);
}

// The sentence below a picture, which a screen reader speaks when it changes.
function sentence() {
  return make("p", { "aria-live": "polite", class: "words" });
}

// Prepares el: style, and the theme of the page around it, followed when it changes.
function stage(el) {
  el.classList.add("msa");
  el.append(make("style", {}, STYLE));
  const look = () => {
    let node = el, colour;
    do {
      colour = getComputedStyle(node).backgroundColor.match(/[\d.]+/g)?.map(Number) ?? [255, 255, 255];
      node = node.parentElement;
    } while (node && colour.length === 4 && colour[3] === 0);
    const clear = colour.length === 4 && colour[3] === 0;
    el.dataset.theme = !clear && 0.3 * colour[0] + 0.6 * colour[1] + 0.1 * colour[2] < 110 ? "dark" : "light";
  };
  new MutationObserver(look).observe(document.body, { attributes: true });
  new MutationObserver(look).observe(document.documentElement, { attributes: true });
  requestAnimationFrame(look);
  look();
}

// What is shown, as numbers: tests compare it with Python's.
function publish(el, state) {
  el.dataset.state = JSON.stringify(state);
}
