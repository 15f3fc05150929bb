const percent = (share) => `${Math.round(100 * share)} %`;

// The best k of the scores, the last one always, ascending; ties to the lower id.
function choose(scores, k) {
  const ids = [...scores.keys()];
  const last = ids.length - 1;
  const rank = (id) => (id === last ? Infinity : scores[id]);
  ids.sort((a, b) => (rank(b) === rank(a) ? a - b : rank(b) > rank(a) ? 1 : -1));
  return ids.slice(0, k).sort((a, b) => a - b);
}

export function render({ model, el }) {
  stage(el);
  const get = (key) => model.get(key);
  const layers = get("layers"), pools = get("pools"), first = get("first"), step = get("step");
  const block = get("block"), words = get("words");
  const mass = unpack(get("mass")), scores = unpack(get("scores"));
  const rows = mass.shape[1], blocks = mass.shape[2];
  const state = { ...get("opening"), shown: 7 };
  const sum = (values, ids) => ids.reduce((total, id) => total + values[id], 0);

  function compute() {
    const l = layers.indexOf(state.layer), r = (state.query - first) / step;
    const seen = Math.floor(state.query / block) + 1;
    const row = (array, at) => Array.from(array.values.subarray(at * blocks, at * blocks + seen));
    const own = row(mass, l * rows + r);
    const scored = pools.map((_, p) => row(scores, (l * pools.length + p) * rows + r));
    const ideal = choose(own, state.top_k);
    const chosen = scored.map((values) => choose(values, state.top_k));
    const captured = chosen.map((ids) => sum(own, ids));
    const best = sum(own, ideal);
    const recall = chosen.map((ids) => sum(own, ids.filter((id) => ideal.includes(id))) / best);
    return { mass: own, scores: scored, ideal, chosen, captured, recall };
  }

  const style = document.createElement("style");
  style.textContent = `.pool-row { margin: .5em 0 0; } .pool-row h4 { margin: 0; font: inherit; }
    .pool-row .bars { display: flex; height: 56px; gap: 2px; align-items: stretch; }
    .pool-row button { flex: 1 1 0; min-width: 0; padding: 0; border: 0; border-radius: 2px; display: flex;
      align-items: flex-end; background: var(--hidden); overflow: hidden; }
    .pool-row i { display: block; width: 100%; min-height: 3px; background: var(--visible); }
    .pool-row .dark i { background: var(--chosen); }
    .pool-row .local i { background: repeating-linear-gradient(45deg, var(--forced) 0 4px, #7a5200 4px 6px); }
    .pool-row .shown { outline: 2px solid var(--ink); outline-offset: 1px; }
    .layers { display: flex; gap: .5em; flex-wrap: wrap; margin: .2em 0; }
    .layers button { padding: .2em .7em; } .layers [aria-pressed=true] { background: var(--chosen); color: #fff; }
    .ids { display: flex; gap: 2px; font-size: 11px; color: var(--soft); } .ids span { flex: 1 1 0; text-align: center;
      min-width: 0; } .block-text { border-left: 4px solid var(--soft); padding: .2em .7em; margin: .6em 0;
      white-space: pre-wrap; overflow-wrap: anywhere; min-height: 5.5em; }
    @media (max-width: 600px) { .ids span:nth-child(even) { visibility: hidden; } .ids { font-size: 9px; } }`;
  el.append(style);

  const layerButtons = layers.map((layer) => {
    const button = make("button", { type: "button" }, `layer ${layer}`);
    button.addEventListener("click", () => { state.layer = layer; update(); });
    return button;
  });
  el.append(make("div", { class: "layers", role: "group", "aria-label": "layer" }, ...layerButtons));
  const last = first + step * (rows - 1);
  const name = (query) => `${query} “${words[query].trim()}”`;
  el.append(
    slider("query (token)", { min: first, max: last, step, value: state.query, show: name },
      (value) => { state.query = value; update(); }),
    slider("blocks read, k", { min: 1, max: 12, value: state.top_k },
      (value) => { state.top_k = value; update(); }),
  );

  const strips = ["attention", ...pools].map((title) => {
    const heading = make("h4"), bars = make("div", { class: "bars" });
    const buttons = Array.from({ length: blocks }, (_, id) => {
      const button = make("button", { type: "button", "aria-label": `${title}, block ${id}` }, make("i"));
      const look = () => { state.shown = id; update(); };
      button.addEventListener("pointerenter", look);
      button.addEventListener("click", look);
      button.addEventListener("keydown", (event) => event.stopPropagation());
      bars.append(button);
      return button;
    });
    el.append(make("div", { class: "pool-row" }, heading, bars));
    return { title, heading, buttons };
  });
  const ids = make("div", { class: "ids", "aria-hidden": "true" },
    ...Array.from({ length: blocks }, (_, id) => make("span", {}, String(id))));
  const text = make("div", { class: "block-text" });
  const said = sentence();
  el.append(ids, text, said);

  function paint(strip, heights, dark, heading) {
    strip.heading.textContent = heading;
    const low = Math.min(0, ...heights), high = Math.max(...heights);
    strip.buttons.forEach((button, id) => {
      const there = id < heights.length;
      button.style.display = there ? "" : "none";
      if (!there) return;
      const isLocal = id === heights.length - 1, isDark = dark.includes(id);
      button.className = `${isLocal ? "local" : isDark ? "dark" : ""}${id === state.shown ? " shown" : ""}`;
      button.firstChild.style.height = `${(100 * (heights[id] - low)) / (high - low || 1)}%`;
      const role = isLocal ? "local, always read" : isDark ? "chosen" : "not chosen";
      button.setAttribute("aria-label", `${strip.title}, block ${id}: ${heights[id].toFixed(2)}, ${role}`);
    });
  }

  function update() {
    const now = compute(), seen = now.mass.length;
    state.shown = Math.min(state.shown, seen - 1);
    layerButtons.forEach((button, at) => button.setAttribute("aria-pressed", layers[at] === state.layer));
    paint(strips[0], now.mass, now.ideal, `attention (dark: the ${state.top_k} heaviest, local included)`);
    pools.forEach((pool, p) => {
      paint(strips[p + 1], now.scores[p], now.chosen[p], `${pool}: its choice holds ${percent(now.captured[p])}`);
    });
    [...ids.children].forEach((span, id) => { span.style.display = id < seen ? "" : "none"; });
    const from = state.shown * block, to = Math.min(from + block, state.query + 1);
    const score = pools.map((pool, p) => `${pool} ${now.scores[p][state.shown].toFixed(1)}`).join(", ");
    text.textContent = `Block ${state.shown}: ${percent(now.mass[state.shown])} of the attention; ${score}.\n`
      + words.slice(from, to).join("").trim();
    const held = pools.map((pool, p) => `${pool} ${percent(now.captured[p])}`).join(", ");
    said.textContent = `Layer ${state.layer}, query ${name(state.query)}, ${state.top_k} of ${seen} blocks: the choice `
      + `by ${held} of the attention; the best choice ${percent(sum(now.mass, now.ideal))}.`;
    const { layer, query, top_k } = state;
    publish(el, { settings: { layer, query, top_k }, numbers: now });
  }
  update();
}
export default { render };
