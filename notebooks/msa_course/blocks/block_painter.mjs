const NAMES = ["hidden", "partial", "visible"];
const COSTS = ["no work", "work and a mask", "work, no mask"];

export function render({ model, el }) {
  stage(el);
  const largest = model.get("largest");
  const state = { ...model.get("opening") };
  let tip = null;

  function compute() {
    const { num_keys, block_size, query_tile } = state;
    const offset = Math.min(state.offset, num_keys - 1);
    const query = Math.min(Math.max(state.query, offset), num_keys - 1);
    const sizes = [], states = [], counts = [0, 0, 0];
    for (let first = 0; first < num_keys; first += block_size) sizes.push(Math.min(block_size, num_keys - first));
    for (let top = offset; top < num_keys; top += query_tile) {
      const bottom = Math.min(top + query_tile, num_keys) - 1;
      states.push(sizes.map((size, b) => {
        const first = b * block_size;
        const value = (first <= bottom ? 1 : 0) + (first + size - 1 <= top ? 1 : 0);
        counts[value] += 1;
        return value;
      }));
    }
    return { offset, query, sizes, states, counts, own: Math.floor(query / block_size) };
  }

  const style = document.createElement("style");
  style.textContent = `.paint { max-width: 34em; } .paint rect { stroke: var(--page); }
    .paint .hidden { fill: var(--hidden); } .paint .partial { fill: #f0e442; } .paint .visible { fill: var(--visible); }
    .paint .dots { fill: url(#msa-dots); stroke: none; pointer-events: none; }
    .paint .local { fill: url(#msa-stripes); pointer-events: none; }
    .paint .frame { fill: none; stroke: var(--ink); stroke-width: .3; pointer-events: none; }
    .paint .tip { fill: none; stroke: var(--bug); stroke-width: .35; pointer-events: none; }
    .calls, .strip { display: flex; flex-wrap: wrap; gap: .3em; margin: .3em 0; } .calls button { padding: .2em .7em; }
    .strip { flex-wrap: nowrap; gap: 1px; max-width: 34em; } .strip button { flex: 1 1 0; min-width: 0; padding: .1em 0;
      overflow: hidden; font-size: 11px; border-radius: 2px; border-color: var(--line); }
    .strip [aria-pressed=true] { background: var(--forced); color: #1a1a1a; }
    .key { display: inline-block; width: 1em; height: 1em; vertical-align: -.15em; margin: 0 .3em 0 .8em;
      border: 1px solid var(--soft); } .told { min-height: 1.5em; }`;
  el.append(style);

  const sliders = {};
  const add = (key, label, min, max) => {
    sliders[key] = slider(label, { min, max, value: state[key] }, (value) => { state[key] = value; update(); });
    el.append(sliders[key]);
  };
  const set = (key, value) => {
    const input = sliders[key].querySelector("input");
    input.value = value;
    input.dispatchEvent(new Event("input"));
  };
  const calls = [["prefill", () => 0], ["a chunk of 6", () => Math.max(0, state.num_keys - 6)],
    ["one decode step", () => state.num_keys - 1]];
  el.append(make("div", { class: "calls", role: "group", "aria-label": "kind of call" }, ...calls.map(([name, to]) => {
    const button = make("button", { type: "button" }, name);
    button.addEventListener("click", () => set("offset", to()));
    return button;
  })));
  add("num_keys", "keys S", 1, largest);
  add("block_size", "block size", 1, 16);
  add("query_tile", "query tile", 1, 16);
  add("offset", "offset S − T", 0, largest - 1);
  add("query", "query position", 0, largest - 1);

  const svg = make("svg:svg", { class: "paint", role: "img", "aria-label": "the tiles of queries and key blocks" });
  const defs = make("svg:defs", {},
    make("svg:pattern", { id: "msa-dots", width: ".5", height: ".5", patternUnits: "userSpaceOnUse" },
      make("svg:circle", { cx: ".25", cy: ".25", r: ".07", fill: "#1a1a1a" })),
    make("svg:pattern", { id: "msa-stripes", width: ".4", height: ".4", patternUnits: "userSpaceOnUse",
      patternTransform: "rotate(45)" },
      make("svg:rect", { width: ".4", height: ".4", style: "fill:#e69f00;stroke:none" }),
      make("svg:rect", { width: ".12", height: ".4", style: "fill:#7a5200;stroke:none" })));
  const layer = make("svg:g"), over = make("svg:g");
  svg.append(defs, layer, over);
  const key = make("div");
  NAMES.forEach((name, i) => {
    const colour = ["var(--hidden)", "#f0e442", "var(--visible)"][i];
    key.append(make("span", { class: "key", style: `background:${colour}` }), `${name}: ${COSTS[i]}`);
  });
  const strip = make("div", { class: "strip", role: "group", "aria-label": "blocks of keys" });
  const told = make("p", { class: "told" }), said = sentence();
  el.append(key, strip, svg, told, said);
  for (let b = 0; b < largest; b += 1) {
    const button = make("button", { type: "button", "aria-label": `block ${b}` }, String(b));
    button.addEventListener("click", () => { tip = { block: b }; mark(); });
    button.addEventListener("keydown", (event) => event.stopPropagation());
    strip.append(button);
  }

  const rect = (x, y, width, height, name) => make("svg:rect", { x, y, width, height, class: name,
    "stroke-width": 0.12 });
  const place = (event) => {
    const box = svg.getBoundingClientRect(), now = compute();
    const x = ((event.clientX - box.left) / box.width) * state.num_keys;
    const y = now.offset + ((event.clientY - box.top) / box.height) * (state.num_keys - now.offset);
    return { block: Math.floor(x / state.block_size), token: Math.floor(y),
      row: Math.floor((y - now.offset) / state.query_tile) };
  };
  svg.addEventListener("pointermove", (event) => { tip = place(event); mark(); });
  svg.addEventListener("pointerleave", () => { tip = null; mark(); });
  svg.addEventListener("click", (event) => set("query", Math.min(place(event).token, state.num_keys - 1)));

  function mark() {
    const now = compute(), { num_keys, block_size, query_tile } = state;
    const [first, width] = [now.own * block_size, now.sizes[now.own]];
    over.replaceChildren(rect(first, now.query, width, 1, "local"), rect(0, now.query, num_keys, 1, "frame"));
    [...strip.children].forEach((button, b) => {
      button.style.display = b < now.sizes.length ? "" : "none";
      button.setAttribute("aria-pressed", b === (tip?.block ?? now.own));
    });
    told.textContent = "";
    if (!tip || tip.block < 0 || tip.block >= now.sizes.length) return;
    const b = tip.block, from = b * block_size, to = from + now.sizes[b] - 1;
    told.textContent = `Block ${b}: tokens ${from} to ${to}`;
    const value = now.states[tip.row]?.[b];
    if (value === undefined) { told.textContent += "."; return; }
    const top = now.offset + tip.row * query_tile, bottom = Math.min(top + query_tile, num_keys);
    over.append(rect(from, top, now.sizes[b], bottom - top, "tip"));
    told.textContent += `, for queries ${top} to ${bottom - 1}: ${NAMES[value]} (${COSTS[value]}).`;
  }

  function update() {
    const now = compute(), { num_keys, block_size, query_tile } = state;
    const height = num_keys - now.offset;
    // A decode step is one row: give it some height all the same.
    svg.setAttribute("viewBox", `0 ${now.offset} ${num_keys} ${height}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.style.height = `${Math.max(2, Math.min(26, (26 * height) / num_keys))}em`;
    const parts = [];
    now.states.forEach((row, r) => row.forEach((value, b) => {
      const top = now.offset + r * query_tile;
      const box = [b * block_size, top, now.sizes[b], Math.min(query_tile, num_keys - top)];
      parts.push(rect(...box, NAMES[value]));
      if (value === 1) parts.push(rect(...box, "dots"));
    }));
    layer.replaceChildren(...parts);
    mark();
    const last = now.sizes.length - 1, [hidden, partial, visible] = now.counts;
    const ragged = now.sizes[last] < block_size ? `block ${last} is ragged with ${now.sizes[last]}` : "none is ragged";
    const sees = now.query + 1 - now.own * block_size;
    said.textContent = `${num_keys} keys make ${last + 1} blocks of ${block_size}, ${ragged}. Tiles of ${query_tile} `
      + `queries: ${hidden} hidden, ${visible} visible, ${partial} partial. Query ${now.query} is in block ${now.own} `
      + `and sees ${sees} of its ${now.sizes[now.own]} tokens.`;
    const settings = Object.fromEntries(Object.keys(sliders).map((name) => [name, state[name]]));
    publish(el, { settings, numbers: { states: now.states, sizes: now.sizes, counts: now.counts, query: now.query,
      own: now.own } });
  }
  update();
}
export default { render };
