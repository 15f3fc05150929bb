// A page of text whose words are shaded by how much a query reads them. The best k blocks are lit,
// all others dark. Data: attention_on_text_figure.stored().

const PAPER = `
.msa .paper { --lit: #fff; --lit-ink: #1a1a1a; --off: #3b3b3b; --off-ink: #cfcfcf; --blue: 0 114 178; --red: 213 94 0;
  position: relative; font-size: 13px; line-height: 1.75; padding: .5em .7em; margin: .5em 0;
  border: 1px solid var(--line); border-radius: 4px; overflow-wrap: anywhere; }
.msa[data-theme=dark] .paper { --lit: #e6e6e6; --off: #262626; --off-ink: #a6a6a6; }
.msa .paper [role=option] { cursor: pointer; padding: 2px 0; color: var(--soft); white-space: pre-wrap; }
.msa .paper .on { background-color: var(--lit); color: var(--lit-ink);
  background-image: linear-gradient(rgb(var(--blue) / var(--w, 0)), rgb(var(--blue) / var(--w, 0))); }
.msa .paper .off { background-color: var(--off); color: var(--off-ink);
  background-image: linear-gradient(rgb(var(--red) / var(--w, 0)), rgb(var(--red) / var(--w, 0))); }
.msa .paper .heavy { color: #fff; } .msa .paper .hot { text-decoration: underline 2px; }
.msa .paper [aria-selected=true] { outline: 3px solid var(--forced); border-radius: 2px; }
.msa .paper svg { position: absolute; inset: 0; height: 100%; pointer-events: none; }
.msa .kinds { display: flex; flex-wrap: wrap; gap: .4em; margin: .4em 0; }
.msa .kinds [aria-pressed=true] { background: var(--chosen); color: var(--on-chosen); }
.msa .tip { color: var(--soft); margin: .2em 0; min-height: 1.5em; }`;
const percent = (share) => (share >= 0.0095 ? `${Math.round(100 * share)}\u00a0%` : "under 1\u00a0%");
const visible = (word) => word.trim() || (word.includes("\n") ? "\u21b5" : "\u2423");

export function render({ model, el }) {
  stage(el);
  el.append(make("style", {}, PAPER));
  const words = model.get("words"), heads = model.get("heads"), sizes = model.get("sizes");
  const mass = unpack(model.get("mass_roots")).values.map((root) => root ** 4), counts = unpack(model.get("counts")).values;
  const tokens = unpack(model.get("tokens")).values, weights = unpack(model.get("weights")).values;
  const count = words.length, now = { ...model.get("opening") };

  // Where the numbers of a head's query begin.
  const massAt = [0], wordsAt = [0];
  for (let row = 0; row < counts.length; row++) {
    massAt.push(massAt[row] + Math.floor((row % count) / sizes[0]) + 1);
    wordsAt.push(wordsAt[row] + counts[row]);
  }

  function compute() {
    const row = heads.findIndex(([name]) => name === now.head) * count + now.position;
    const blocks = new Array(Math.floor(now.position / now.block_size) + 1).fill(0);
    for (let i = massAt[row]; i < massAt[row + 1]; i++)
      blocks[Math.floor(((i - massAt[row]) * sizes[0]) / now.block_size)] += mass[i];
    const order = blocks.map((_, b) => b).sort((a, b) => blocks[b] - blocks[a] || a - b);
    const chosen = order.slice(0, now.top_k).sort((a, b) => a - b);
    const captured = chosen.reduce((sum, b) => sum + blocks[b], 0);
    const read = [];
    for (let i = wordsAt[row]; i < wordsAt[row + 1]; i++) read.push([tokens[i], weights[i]]);
    return { blocks, chosen, captured, read };
  }

  // The controls.
  const kinds = heads.map(([name, layer, h]) => {
    const button = make("button", { type: "button" }, `${name} \u00b7 layer ${layer}, head ${h}`);
    button.addEventListener("click", () => ((now.head = name), update()));
    return button;
  });
  const query = slider("query (token)", { min: 0, max: count - 1, value: now.position,
    show: (p) => `${p} \u201c${visible(words[p])}\u201d` }, (p) => ((now.position = p), update()));
  const size = slider("tokens per block", { min: 0, max: sizes.length - 1,
    value: sizes.indexOf(now.block_size), show: (i) => `${sizes[i]}` },
    (i) => ((now.block_size = sizes[i]), update()));
  const k = slider("k, blocks read", { min: 1, max: model.get("most"), value: now.top_k },
    (value) => ((now.top_k = value), update()));
  const bars = make("svg:svg", { role: "img", "aria-label": "mass of every block" });
  const said = sentence(), tip = make("p", { class: "tip" });

  // The text, one option per token; the arrows over it are drawn in pixels of the page.
  const paper = make("div", { class: "paper", role: "listbox",
    "aria-label": "the text: click a word, or move with the arrow keys" });
  const spans = words.map((word, j) => make("span", { role: "option", tabindex: -1, "data-token": j,
    "aria-label": `token ${j}, ${visible(word)}` }, word.trim() ? word.replace(/\s*\n\s*/g, "\u21b5 ") : visible(word) + " "));
  const arcs = make("svg:svg", { "aria-hidden": true });
  paper.append(...spans, arcs);
  const tokenOf = (event) => event.target.closest?.("[data-token]")?.dataset.token;
  paper.addEventListener("click", (event) => tokenOf(event) && goTo(+tokenOf(event)));
  paper.addEventListener("pointerover", (event) => tokenOf(event) && tell(+tokenOf(event)));
  paper.addEventListener("keydown", (event) => {
    event.stopPropagation();
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -10, ArrowDown: 10, Home: -count, End: count }[event.key];
    const place = +tokenOf(event);
    if (event.key === "Enter" || event.key === " ") goTo(place);
    else if (step) goTo(Math.min(count - 1, Math.max(0, now.position + step)));
    else return;
    event.preventDefault();
    spans[now.position].focus({ preventScroll: false });
  });

  function goTo(position) {
    const input = query.querySelector("input");
    input.value = position; // the slider tells everybody
    input.dispatchEvent(new Event("input"));
  }

  const classes = [], shades = [];
  let state, selected;
  function update() {
    state = compute();
    const weight = new Map(state.read), lit = new Set(state.chosen);
    kinds.forEach((button, i) => button.setAttribute("aria-pressed", heads[i][0] === now.head));
    for (let j = 0; j < count; j++) {
      const on = lit.has(Math.floor(j / now.block_size)), share = weight.get(j) ?? 0;
      const shade = share < 0.01 ? 0 : share > 0.6 ? 1 : Math.min(0.75, Math.sqrt(share));
      const heavy = shade === 1 || (!on && shade > 0.3);
      const look = j > now.position ? "" : `${on ? "on" : "off"}${heavy ? " heavy" : ""}`;
      if (look !== classes[j]) spans[j].className = classes[j] = look;
      if (shade !== shades[j]) spans[j].style.setProperty("--w", (shades[j] = shade).toFixed(3));
    }
    const asked = spans[now.position];
    if (asked !== selected) {
      selected?.setAttribute("aria-selected", "false");
      if (selected) selected.tabIndex = -1;
      asked.setAttribute("aria-selected", "true");
      asked.tabIndex = 0;
      selected = asked;
    }
    drawBars();
    drawArcs();
    const [name, layer, h] = heads.find(([name]) => name === now.head), [top, share] = state.read[0];
    said.textContent = `Layer ${layer}, head ${h} (${name}), query ${now.position} ` +
      `\u201c${visible(words[now.position])}\u201d: of ${state.blocks.length} blocks of ${now.block_size} tokens it ` +
      `reads ${state.chosen.length} (${state.chosen.join(", ")}), with ${percent(state.captured)} of its attention. ` +
      `The heaviest word is ${top} \u201c${visible(words[top])}\u201d with ${percent(share)}.`;
    tell(top);
    const heaviest = state.read.slice(0, 5);
    publish(el, { settings: { ...now }, numbers: { mass: state.blocks, chosen: state.chosen, captured: state.captured,
      heaviest: heaviest.map(([j]) => j), heaviest_weights: heaviest.map(([, w]) => w) } });
  }

  function tell(j) {
    const block = Math.floor(j / now.block_size), share = new Map(state.read).get(j) ?? 0;
    tip.textContent = `Token ${j} \u201c${visible(words[j])}\u201d, in block ${block}: ` +
      (j > now.position ? "still in the future." : `${percent(share)} of the attention.`);
  }

  function drawBars() {
    const whole = Math.max(paper.clientWidth, 300), wide = whole / Math.ceil(count / now.block_size);
    const every = Math.ceil(22 / wide);
    bars.setAttribute("viewBox", `0 0 ${whole} 84`);
    bars.replaceChildren(...state.blocks.flatMap((share, b) => {
      const on = state.chosen.includes(b), tall = Math.max(1, 56 * share);
      const bar = make("svg:rect", { x: b * wide + 1, y: 64 - tall, width: wide - 2, height: tall,
        fill: on ? "var(--chosen)" : share >= 0.1 ? "var(--bug)" : "var(--soft)" });
      const field = make("svg:rect", { x: b * wide, y: 0, width: wide, height: 84, fill: "transparent" });
      field.append(make("svg:title", {}, `block ${b}: ${percent(share)}`));
      field.addEventListener("pointerenter", () => mark(b, true));
      field.addEventListener("pointerleave", () => mark(b, false));
      const label = make("svg:text", { x: (b + 0.5) * wide, y: 80, "text-anchor": "middle", "font-size": 13,
        "font-weight": on ? 700 : 400 }, b % every ? "" : `${b}`);
      return [bar, label, field];
    }));
  }

  function mark(block, hot) {
    const first = block * now.block_size;
    spans.slice(first, first + now.block_size).forEach((span) => span.classList.toggle("hot", hot));
    if (!hot) return;
    tip.textContent = `Block ${block}: ${percent(state.blocks[block])} of the attention.`;
  }

  // From the query to every word that gets a tenth of its attention.
  function drawArcs() {
    const page = paper.getBoundingClientRect();
    const place = (j, foot) => {
      const box = spans[j].getClientRects()[0] ?? page;
      return [box.left - page.left + box.width / 2, (foot ? box.bottom : box.top) - page.top];
    };
    arcs.setAttribute("viewBox", `0 0 ${page.width} ${page.height}`);
    const [x, y] = place(now.position, false);
    const far = state.read.filter(([j, share]) => share >= 0.1 && now.position - j > 8);
    arcs.replaceChildren(...far.map(([j, share]) => {
      const [u, v] = place(j, true), bend = Math.min(page.width - 6, Math.max(x, u) + 60);
      return make("svg:path", { d: `M${x},${y} Q${bend},${(y + v) / 2} ${u},${v}`, fill: "none",
        stroke: "var(--forced)", "stroke-width": 1 + 3 * share, "stroke-linecap": "round", opacity: 0.9 });
    }));
  }

  el.append(make("div", { class: "kinds", role: "group", "aria-label": "head" }, ...kinds), query, size, k, paper, tip, bars, said);
  new ResizeObserver(() => state && (drawBars(), drawArcs())).observe(paper);
  update();
}
export default { render };
