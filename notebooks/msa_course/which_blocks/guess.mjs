// What a rule would let a head read: blocks to open, their text shaded by the head's attention.

const GUESS_STYLE = `
.guess .choice { display: flex; flex-wrap: wrap; gap: .3em; align-items: center; margin: .25em 0; }
.guess .choice > span { min-width: 11em; } .guess .choice button { padding: .1em .6em; cursor: pointer; }
.guess .choice button[aria-pressed=true] { background: var(--chosen); color: var(--on-chosen);
  border-color: var(--chosen); }
.guess .shelf { display: grid; grid-template-columns: repeat(auto-fill, minmax(3.3em, 1fr)); gap: .3em; margin: .7em 0 .4em; }
.guess .shelf button { position: relative; padding: .15em 0 .1em; cursor: pointer; border: 2px solid transparent;
  background: var(--hidden); overflow: hidden; font-variant-numeric: tabular-nums; }
.guess .shelf button.chosen { background: var(--chosen); color: var(--on-chosen); }
.guess .shelf button.target { border: 3px solid var(--forced); }
.guess .shelf button[aria-pressed=true] { box-shadow: 0 0 0 3px var(--soft); }
.guess .shelf button:hover, .guess .shelf button.near { text-decoration: underline; }
.guess .shelf small { display: block; font-size: 11px; }
.guess .key { font-size: 12.5px; color: var(--soft); margin: 0 0 .4em; }
.guess .text { border: 1px solid var(--line); border-radius: 6px; padding: .5em .7em; min-height: 5.5em;
  overflow-wrap: anywhere; line-height: 1.7; }
.guess .text b { font-weight: 400; border-radius: 3px; padding: .1em 0; }
.guess .text b.top { outline: 2px solid var(--forced); font-weight: 700; }
`;

const rounded = (share) => `${Math.round(100 * share)}%`;

function ordinal(n) {
  const ending = { 1: "st", 2: "nd", 3: "rd" }[n % 10] ?? "th";
  return `${n}${Math.floor(n / 10) === 1 ? "th" : ending}`;
}

export function render({ model, el }) {
  const words = model.get("words"), queries = model.get("queries"), rules = model.get("rules");
  const joins = model.get("joins"), size = model.get("block_size");
  const scores = unpack(model.get("scores")), weights = unpack(model.get("weights"));
  const most = scores.shape[3], long = weights.shape[1];
  const state = { ...model.get("opening") };
  let opened = -1;
  stage(el);
  el.classList.add("guess");
  el.append(make("style", {}, GUESS_STYLE));

  const spell = (j) => `“${words[j].trim() || words[j].replace(/\n/g, "↵").replace(/ /g, "␣")}”`;

  function choices(label, names, value, changed) {
    const buttons = names.map((name) => make("button", { type: "button", "aria-pressed": name === value }, name));
    buttons.forEach((button, i) =>
      button.addEventListener("click", () => {
        buttons.forEach((other) => other.setAttribute("aria-pressed", other === button));
        changed(names[i]);
      }),
    );
    return make("div", { class: "choice", role: "group", "aria-label": label }, make("span", {}, label), ...buttons);
  }

  const shelf = make("div", { class: "shelf", role: "group", "aria-label": "blocks" });
  const tiles = Array.from({ length: most }, (_, b) => {
    const place = make("small", {});
    const tile = make("button", { type: "button" }, String(b), place);
    tile.addEventListener("click", () => open(b));
    shelf.append(tile);
    return { tile, place };
  });
  const text = make("div", { class: "text" }), words_below = sentence();
  const story = make("p", {});
  const key = make("p", { class: "key" },
    "Filled: read. Small: the rule's order. Orange frame: the head looks here. Click a block to open it.");
  el.append(
    slider("query", { min: 0, max: queries.length - 1, value: queries.indexOf(state.query),
      show: (i) => `${queries[i]} ${spell(queries[i])}` }, (i) => update({ query: queries[i] }, true)),
    choices("rule", rules, state.rule, (rule) => update({ rule })),
    choices("heads", joins, state.join, (join) => update({ join })),
    slider("k, blocks read", { min: 1, max: model.get("max_top_k"), value: state.top_k }, (top_k) => update({ top_k })),
    story, shelf, key, text, words_below,
  );
  el.addEventListener("keydown", (event) => event.stopPropagation());

  function row(rule, head) {
    const i = queries.indexOf(state.query), first = ((i * rules.length + rule) * 3 + head) * most;
    return Array.from(scores.values.slice(first, first + Math.floor(state.query / size) + 1));
  }

  // The best top_k blocks, ties to the lower id, as the package chooses.
  function compute() {
    const each = [0, 1, 2].map((head) => row(rules.indexOf(state.rule), head));
    const joined = each[0].map((score, b) => {
      const all = each.map((head) => head[b]);
      return [score, Math.max(...all), (all[0] + all[1] + all[2]) / 3][joins.indexOf(state.join)];
    });
    const order = joined.map((_, b) => b).sort((a, b) => joined[b] - joined[a] || a - b);
    const chosen = order.slice(0, state.top_k).sort((a, b) => a - b);
    const mass = row(rules.length - 1, 0);
    const i = queries.indexOf(state.query);
    const heads = weights.values.slice(i * long, i * long + state.query + 1);
    const target = heads.reduce((best, w, j) => (w > heads[best] ? j : best), 0);
    const kept = chosen.reduce((sum, b) => sum + mass[b], 0);
    const rank = order.indexOf(Math.floor(target / size)) + 1;
    return { scores: joined, order, mass, chosen, target, rank, kept, heads };
  }

  function open(b) {
    opened = b;
    update({});
  }

  function update(change, afresh) {
    Object.assign(state, change);
    const now = compute(), home = Math.floor(now.target / size), count = now.scores.length;
    if (afresh || opened < 0 || opened >= count) opened = home;
    tiles.forEach(({ tile, place }, b) => {
      tile.hidden = b >= count;
      if (b >= count) return;
      const chosen = now.chosen.includes(b), order = now.order.indexOf(b) + 1;
      tile.classList.toggle("chosen", chosen);
      tile.classList.toggle("target", b === home);
      tile.setAttribute("aria-pressed", b === opened);
      tile.setAttribute("aria-label", `block ${b}, ${ordinal(order)} by the rule, ${chosen ? "read" : "not read"}`);
      place.textContent = ordinal(order);
    });
    const from = opened * size, to = Math.min(from + size, state.query + 1);
    text.replaceChildren(
      ...words.slice(from, to).map((word, i) => {
        const share = now.heads[from + i], piece = make("b", { title: `token ${from + i}: ${rounded(share)}` }, word);
        piece.style.background = `color-mix(in srgb, var(--visible) ${Math.round(100 * Math.sqrt(share))}%, transparent)`;
        if (share > 0.15) piece.style.color = "#1a1a1a";
        piece.classList.toggle("top", from + i === now.target);
        return piece;
      }),
    );
    const before = words.slice(Math.max(0, state.query - 12), state.query + 1).join("");
    story.replaceChildren(`…${before} `, make("strong", {}, `→ ${words[state.query + 1].trim() || "↵"}`));
    words_below.textContent = describe(now);
    publish(el, {
      settings: { ...state },
      numbers: { scores: now.scores, mass: now.mass, chosen: now.chosen, target: now.target, rank: now.rank, kept: now.kept },
    });
  }

  function describe(now) {
    const found = now.rank <= state.top_k, many = now.chosen.length > 1 ? "s" : "";
    return (
      `At token ${state.query} ${spell(state.query)} the ${state.rule} rule reads block${many} ${now.chosen.join(", ")}: ` +
      `${rounded(now.kept)} of head 6’s attention. Token ${now.target} ${spell(now.target)}, which the head looks up, ` +
      `is ${found ? "read" : "NOT read"}: its block ${Math.floor(now.target / size)} comes ${ordinal(now.rank)} of ` +
      `${now.scores.length}.`
    );
  }
  update({});
}

export default { render };
