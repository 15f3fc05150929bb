// Four steps of one query. Which blocks are read is decided here or, if the model has `data`, in Python.

const SIZE = 32, FIRST = 576, HIDDEN = 0, VISIBLE = 1, FORCED = 3;
const FILL = ["var(--hidden)", "var(--visible)", "var(--chosen)", "var(--forced)"];
const BACK = [...FILL.slice(0, 3), "repeating-linear-gradient(45deg, #0000 0 4px, #0006 4px 5px), var(--forced)"];
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const LOOK = `
.msa h4 { margin: .9em 0 .1em; font-size: 1em; } .msa h4 small { font-weight: normal; color: var(--soft); }
.msa .text { border-left: 3px solid var(--soft); padding: 0 .6em; white-space: pre-wrap; overflow-wrap: anywhere; }
.msa button { cursor: pointer; } .msa .text button { border: 0; padding: 0; white-space: pre-wrap; }
.msa [aria-pressed=true], .msa mark { background: var(--chosen); color: var(--on-chosen); }
.msa .row { display: grid; grid-template-columns: repeat(20, minmax(0, 1fr)); text-align: center; font-size: 12px; }
.msa .row button { border: 1px solid var(--page); border-radius: 0; padding: .25em 0; line-height: 1.2; color: #000; }
.msa [data-code="0"] { color: var(--soft) !important; } .msa [data-code="2"] { color: var(--on-chosen) !important; }
.msa .row small { display: block; font-size: 10px; } @media (max-width: 600px) { .msa .row small { display: none; } }
.msa .at { outline: 3px solid var(--ink); z-index: 1; position: relative; }
.msa .bars { height: 92px; border-bottom: 1px solid var(--soft); } .msa .key span { display: inline-block; margin-right: 1.2em; }
.msa .key i { display: inline-block; width: 1em; height: 1em; vertical-align: -.15em; margin-right: .3em; }`;

// Ids of the blocks read, ascending: forced ones, then the best by score, ties to the lower id.
function select(scores, local, topK, forced) {
  const ids = [...Array(local + 1).keys()];
  ids.sort((a, b) => forced[b] - forced[a] || (forced[a] ? 0 : scores[b] - scores[a]) || a - b);
  return ids.slice(0, topK).sort((a, b) => a - b);
}

export function render({ model, el }) {
  stage(el);
  el.append(make("style", {}, LOOK));
  el.addEventListener("keydown", (event) => event.stopPropagation());
  const python = model.get("data");
  const get = (key) => (python ? python[key] : model.get(key));
  const words = get("words"), [tokens, blocks, winners, mass] =
    ["token_scores", "block_scores", "winners", "head_mass"].map((name) => unpack(get(name)));
  const [, rows, nb] = blocks.shape, heads = mass.shape[1], S = nb * SIZE, all = [...Array(nb).keys()];
  const settings = { ...get("opening") };
  let hovered = null, pinned = null, shown = null;

  const row = (group = settings.group) => group * rows + settings.query - FIRST;
  const part = ({ values }, length, at = row()) => values.subarray(at * length, (at + 1) * length);

  // What Python's `Selected` tells of a query that reads these blocks.
  function read(selection, forced) {
    const local = Math.floor(settings.query / SIZE), seen = all.slice(0, local + 1), scores = part(blocks, nb);
    const states = all.map((b) => (b > local ? HIDDEN : VISIBLE + selection.includes(b) * (1 + forced[b])));
    const ranks = all.map(() => 0), dense = all.map(() => 0), sparse = all.map(() => 0);
    [...seen].sort((a, b) => scores[b] - scores[a] || a - b).forEach((b, place) => (ranks[b] = place + 1));
    for (let head = 0; head < heads; head++) {
      const own = part(mass, nb, row(settings.group * heads + head));
      const kept = selection.reduce((sum, b) => sum + own[b], 0);
      seen.forEach((b) => (dense[b] += own[b] / heads));
      selection.forEach((b) => (sparse[b] += own[b] / kept / heads));
    }
    const sum = (ids) => ids.reduce((total, b) => total + dense[b], 0);
    const missed = seen.filter((b) => states[b] === VISIBLE).reduce((a, b) => (a < 0 || dense[b] > dense[a] ? b : a), -1);
    return {
      selection, states, ranks, dense, sparse, missed, missed_share: dense[missed] ?? 0,
      block_scores: Array.from(scores).slice(0, local + 1), winners: Array.from(part(winners, nb)),
      held: sum(selection), best: sum(select(dense, local, selection.length, forced)),
      tokens_read: selection.reduce((n, b) => n + Math.min(SIZE, settings.query + 1 - b * SIZE), 0), tokens_seen: settings.query + 1,
    };
  }

  function describe(n, raised) {
    const local = Math.floor(settings.query / SIZE), many = n.selection.length;
    const names = n.selection.map((b) => b + (b === local ? " (local)" : n.states[b] === FORCED ? " (forced)" : ""));
    return `${raised ? `k is raised to ${many}. ` : ""}Query ${settings.query}, “${words[settings.query].trim()}”, of group ` +
      `${settings.group} reads block${many > 1 ? "s" : ""} ${names.join(", ")}: ${n.tokens_read} of the ${n.tokens_seen} tokens ` +
      `it sees. They hold ${percent(n.held)} of its attention, where as many blocks can hold ${percent(n.best)}. ` +
      `The heaviest block left out is ${n.missed}, with ${percent(n.missed_share)}.`;
  }

  const button = (label, text, clicked, more = {}) => {
    const node = make("button", { "aria-label": label, ...more }, text);
    node.addEventListener("click", clicked);
    return node;
  };
  const control = (label, name, min, max) => slider(label, { min, max, value: settings[name] }, (value) => change({ [name]: value }));
  const query = control("query", "query", FIRST, FIRST + rows - 1);
  const asks = words.slice(FIRST).map((word, i) => button(`ask from token ${FIRST + i}`, word.replace(/\s*\n\s*/g, " ↵ "), () => {
    query.children[1].value = FIRST + i;
    query.children[1].dispatchEvent(new Event("input"));
  }, { tabindex: -1 }));
  const groups = [0, 1, 2].map((group) => button(`KV group ${group}`, `\u2002${group}\u2002`, () => change({ group })));
  const controls = [query, make("label", {}, make("span", {}, "KV group"), ...groups), control("k, blocks read", "top_k", 1, 8)];
  if (!python) controls.push(control("forced first blocks", "init_blocks", 0, 2), control("forced last blocks", "local_blocks", 0, 2));

  const steps = ["token scores", "block scores", "attention"].map((label) => {
    const svg = make("svg:svg", { class: "bars", viewBox: `0 0 ${S} 100`, preserveAspectRatio: "none", role: "img", "aria-label": label });
    const at = (event) => Math.min(nb - 1, Math.floor((event.offsetX / svg.clientWidth) * nb));
    svg.addEventListener("mousemove", (event) => look(at(event)));
    svg.addEventListener("mouseleave", () => look(null));
    svg.addEventListener("click", (event) => pin(at(event)));
    return svg;
  });
  const path = (svg, attributes) => svg.appendChild(make("svg:path", attributes));
  const lit = steps.map((svg) => path(svg, { fill: "var(--soft)", opacity: 0.25 }));
  const bars = steps.map((svg) => FILL.map((fill) => path(svg, { fill })));
  const line = { fill: "none", stroke: "var(--ink)", "stroke-linecap": "round", "vector-effect": "non-scaling-stroke" };
  const dots = steps.slice(0, 2).map((svg) => path(svg, { ...line, "stroke-width": 6 })), outline = path(steps[2], { ...line, "stroke-width": 1.5 });
  const cells = all.map((block) => {
    const cell = button("", "", () => pin(block));
    cell.addEventListener("mouseenter", () => look(block));
    cell.addEventListener("mouseleave", () => look(null));
    return cell;
  });
  const shares = all.map(() => make("span")), said = sentence(), title = make("h4"), text = make("p", { class: "text" });
  const head = (name, meaning) => make("h4", {}, `${name} `, make("small", {}, meaning));
  const key = ["visible, not read", "chosen", "forced"].map((name, i) => make("span", {}, make("i", { style: `background: ${BACK[i + 1]}` }), name));
  el.append(head("Who asks", "click one of the last 64 words"), make("p", { class: "text" }, ...asks), ...controls,
    make("p", { class: "key" }, ...key),
    head("1 Token scores", "● speaks for its block; the lowest bars are cut"), steps[0], head("2 Block scores", "each has that token's score"), steps[1],
    head("3 Selection", "block id and place by score; hover or click"), make("div", { class: "row" }, ...cells),
    head("4 Attention", "bars: over the chosen blocks; outline and %: over everything"), steps[2],
    make("div", { class: "row" }, ...shares), said, title, text);

  const look = (block) => { hovered = block; paint(); };
  const pin = (block) => { pinned = pinned === block ? null : block; update(); };
  const box = (x, width, top) => `M${x} 100V${Math.min(100, top).toFixed(2)}h${width}V100z`;
  function paint() {
    const block = hovered ?? pinned ?? shown.selection.reduce((a, b) => (shown.dense[b] > shown.dense[a] ? b : a));
    cells.forEach((cell, b) => cell.classList.toggle("at", b === block));
    lit.forEach((node) => node.setAttribute("d", box(block * SIZE, SIZE, 0)));
    const from = block * SIZE, winner = shown.winners[block] - from, inside = words.slice(from, from + SIZE);
    title.textContent = `Block ${block}, tokens ${from} to ${from + SIZE - 1}: ${percent(shown.dense[block])} of the attention`;
    const pieces = [inside.slice(0, winner).join(""), make("mark", {}, inside[winner]), inside.slice(winner + 1).join("")];
    text.replaceChildren(...(shown.states[block] === HIDDEN ? ["future"] : pieces));
  }

  function draw(n, sentence) {
    shown = n;
    const scores = part(tokens, S), high = Math.max(...n.block_scores), low = 1.5 * Math.min(...n.block_scores) - 0.5 * high;
    const top = (score) => 97 - (92 * (score - low)) / (high - low), peak = Math.max(...n.dense, ...n.sparse), share = (x) => 100 - (94 * x) / peak;
    const made = bars.map(() => FILL.map(() => "")), at = ["", ""];
    for (let t = 0; t < n.tokens_seen; t++) made[0][n.states[Math.floor(t / SIZE)]] += box(t, 0.85, top(scores[t]));
    n.block_scores.forEach((score, b) => {
      made[1][n.states[b]] += box(b * SIZE + 1, SIZE - 2, top(score));
      if (n.states[b] > VISIBLE) made[2][n.states[b]] += box(b * SIZE + 1, SIZE - 2, share(n.sparse[b]));
      at[0] += `M${n.winners[b] + 0.5} ${top(score)}h.01`;
      at[1] += `M${(b + 0.5) * SIZE} ${top(score)}h.01`;
    });
    bars.forEach((paths, step) => paths.forEach((node, state) => node.setAttribute("d", made[step][state])));
    dots.forEach((node, i) => node.setAttribute("d", at[i]));
    outline.setAttribute("d", n.block_scores.map((_, b) => box(b * SIZE + 1, SIZE - 2, share(n.dense[b]))).join(""));
    cells.forEach((cell, b) => {
      const state = (cell.dataset.code = n.states[b]);
      cell.style.background = BACK[state];
      cell.replaceChildren(b, make("small", {}, n.ranks[b] ? `#${n.ranks[b]}` : "–"));
      cell.setAttribute("aria-label", `block ${b}, ${["future", "not read", "chosen", "forced"][state]}`);
      shares[b].textContent = n.dense[b] >= 0.005 ? Math.round(100 * n.dense[b]) : "·";
    });
    asks.forEach((node, i) => node.setAttribute("aria-pressed", FIRST + i === settings.query));
    groups.forEach((node, i) => node.setAttribute("aria-pressed", i === settings.group));
    said.textContent = sentence;
    paint();
    publish(el, { settings: { ...settings }, numbers: { ...n, pinned, sentence } });
  }

  function update() {
    const local = Math.floor(settings.query / SIZE), { top_k, init_blocks, local_blocks } = settings;
    if (python) {
      const { ids, error } = model.get("answer"), n = read(ids, all.map(() => false));
      return draw(n, error ? `Your rule raised ${error}` : describe(n));
    }
    const forced = all.map((b) => b <= local && (b < init_blocks || b > local - local_blocks)), budget = Math.max(top_k, init_blocks + local_blocks);
    const n = read(select(part(blocks, nb), local, budget, forced), forced);
    draw(n, describe(n, budget > top_k));
  }
  function change(setting) {
    Object.assign(settings, setting);
    if (!python) return update();
    model.set("asked", { ...settings });
    model.save_changes();
  }
  if (python) model.on("change:answer", () => update(Object.assign(settings, model.get("answer").settings)));
  update();
}
export default { render };
