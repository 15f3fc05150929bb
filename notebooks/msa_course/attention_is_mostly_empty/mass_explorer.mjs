// Every head as a button that says what its best k blocks hold; below, the blocks of the one chosen.
// Data: mass_explorer_figure.stored().

const TABLE = `
.msa .groups { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5em, 1fr)); gap: .2em 1em; margin: .6em 0; }
.msa .groups > div { display: flex; flex-direction: column; gap: 3px; } .msa .groups b { font-size: 13px; }
.msa .groups button { display: flex; justify-content: space-between; padding: 1px 7px; font-size: 13px; border-color: var(--line);
  background: linear-gradient(rgb(86 180 233 / .35) 0 0) no-repeat 0 / var(--held) 100%; font-variant-numeric: tabular-nums; }
.msa .groups button:hover { border-color: var(--chosen); }
.msa .groups button.low { background-image: linear-gradient(rgb(213 94 0 / .3) 0 0); }
.msa .groups [aria-pressed=true] { outline: 3px solid var(--chosen); font-weight: 700; }
.msa .tip { color: var(--soft); margin: .2em 0; min-height: 1.5em; }`;
const percent = (share) => (share >= 0.005 || share === 0 ? `${Math.round(100 * share)}\u00a0%` : "under 1\u00a0%");

export function render({ model, el }) {
  stage(el);
  el.append(make("style", {}, TABLE));
  const heads = model.get("heads"), positions = model.get("positions"), sizes = model.get("sizes");
  const mass = unpack(model.get("mass_roots")).values.map((root) => root ** 4), keys = unpack(model.get("keys")).values;
  const needed = unpack(model.get("needed")).values, small = sizes[0];
  const now = { ...model.get("opening") };

  // Where the numbers of a head's query begin.
  const massAt = [0], keysAt = [0];
  for (let row = 0; row < needed.length; row++) {
    const seen = positions[row % positions.length] + 1;
    massAt.push(massAt[row] + Math.ceil(seen / small));
    keysAt.push(keysAt[row] + 2 * (Math.floor(seen / small) + 1));
  }
  const rowOf = (h) => h * positions.length + positions.indexOf(now.position);

  function blocksOf(row) {
    const blocks = new Array(Math.ceil((now.position + 1) / now.block_size)).fill(0);
    for (let i = massAt[row]; i < massAt[row + 1]; i++)
      blocks[Math.floor(((i - massAt[row]) * small) / now.block_size)] += mass[i];
    const order = blocks.map((_, b) => b).sort((a, b) => blocks[b] - blocks[a] || a - b);
    const chosen = order.slice(0, now.top_k).sort((a, b) => a - b);
    return { blocks, chosen, captured: chosen.reduce((sum, b) => sum + blocks[b], 0) };
  }

  function heldByKeys(row, read) {
    const extra = (now.position + 1) % small, half = (keysAt[row + 1] - keysAt[row]) / 2;
    return keys[keysAt[row] + (read % small === 0 ? read / small : half + (read - extra) / small)];
  }

  // The controls: sliders, then a button per head.
  const query = slider("query (token)", { min: 0, max: positions.length - 1, value: positions.indexOf(now.position),
    show: (i) => model.get("names")[i] }, (i) => ((now.position = positions[i]), update()));
  const size = slider("tokens per block", { min: 0, max: sizes.length - 1, value: sizes.indexOf(now.block_size),
    show: (i) => `${sizes[i]}` }, (i) => ((now.block_size = sizes[i]), update()));
  const k = slider("k, blocks read", { min: 1, max: model.get("most"), value: now.top_k },
    (value) => ((now.top_k = value), update()));
  const groups = make("div", { class: "groups", role: "group", "aria-label": "head" });
  const columns = {};
  const shares = [], buttons = heads.map((name) => {
    const group = name.endsWith("(made)") ? "made by hand" : name.replace(/ head.*/, "");
    if (!columns[group]) groups.append((columns[group] = make("div", {}, make("b", {}, group))));
    const share = make("span"), label = name.replace(" (made)", "").replace(/layer \d+ /, "");
    const button = make("button", { type: "button" }, make("span", {}, label), share);
    button.addEventListener("click", () => ((now.head = name), update()));
    columns[group].append(button);
    shares.push(share);
    return button;
  });
  const picture = make("svg:svg", { role: "img", "aria-label": "mass of every block of the chosen head" });
  const tip = make("p", { class: "tip" }), said = sentence();

  let state;
  function update() {
    const held = heads.map((_, h) => blocksOf(rowOf(h)).captured), h = heads.indexOf(now.head);
    heads.forEach((name, i) => {
      shares[i].textContent = percent(held[i]);
      buttons[i].style.setProperty("--held", `${100 * held[i]}%`);
      buttons[i].classList.toggle("low", held[i] < 0.5);
      buttons[i].setAttribute("aria-pressed", name === now.head);
      buttons[i].setAttribute("aria-label", `${name}: ${percent(held[i])}`);
    });
    state = blocksOf(rowOf(h));
    const read = state.chosen.reduce((sum, b) => sum + Math.min(now.block_size, now.position + 1 - b * now.block_size), 0);
    const byKeys = heldByKeys(rowOf(h), read), needs = needed[rowOf(h)];
    drawBlocks();
    tip.textContent = `Were all keys equal: ${read} of ${now.position + 1} tokens, ${percent(read / (now.position + 1))}. Orange: less than half.`;
    said.textContent = `${now.head[0].toUpperCase()}${now.head.slice(1)}, query ${model.get("names")[positions.indexOf(now.position)]}: ` +
      `the best ${state.chosen.length} of ${state.blocks.length} blocks of ${now.block_size} tokens (${state.chosen.join(", ")}) are ` +
      `${read} of ${now.position + 1} tokens and hold ${percent(state.captured)} of the attention. As many keys picked one by one ` +
      `would hold ${percent(byKeys)}. For 90\u00a0% this query needs ${needs} keys.`;
    publish(el, { settings: { ...now }, numbers: { block_mass: state.blocks, chosen: state.chosen, tokens_read: read,
      captured: state.captured, by_keys: byKeys, keys_needed: needs, held } });
  }

  function drawBlocks() {
    const whole = Math.max(groups.clientWidth, 300), wide = whole / state.blocks.length;
    const top = Math.max(...state.blocks), every = Math.ceil(22 / wide);
    picture.setAttribute("viewBox", `0 0 ${whole} 160`);
    picture.replaceChildren(...state.blocks.flatMap((share, b) => {
      const on = state.chosen.includes(b), tall = Math.max(1, (110 * share) / top), x = b * wide + 0.06 * wide;
      const bar = make("svg:rect", { x, y: 136 - tall, width: 0.88 * wide, height: tall, fill: on ? "var(--chosen)" : "var(--visible)" });
      const text = { "text-anchor": "middle", "font-size": 13, x: (b + 0.5) * wide, "font-weight": on ? 700 : 400 };
      const id = make("svg:text", { ...text, y: 154 }, b % every ? "" : `${b}`);
      const value = make("svg:text", { ...text, y: 130 - tall }, share === top ? percent(share) : "");
      const field = make("svg:rect", { x: b * wide, y: 0, width: wide, height: 160, fill: "transparent" });
      field.addEventListener("pointerenter", () => {
        tip.textContent = `Block ${b}: ${percent(share)} of the attention, ${on ? "read" : "not read"}.`;
      });
      return [bar, id, value, field];
    }));
  }

  el.append(query, size, k, groups, picture, tip, said);
  new ResizeObserver(() => state && drawBlocks()).observe(groups);
  update();
}
export default { render };
