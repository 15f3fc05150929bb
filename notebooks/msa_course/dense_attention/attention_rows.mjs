// One row of attention: a sentence whose words are read, the triangle of weights, the row as bars.

const ROWS_STYLE = `
.rows .strip { display: flex; flex-wrap: wrap; gap: .35em; margin: .7em 0; }
.rows .word { font-size: 17px; padding: .1em .45em .05em; border: 2px solid transparent; text-align: center;
  border-radius: 6px; cursor: pointer; min-width: 2.6em; }
.rows .word small { display: block; font-size: 12px; font-variant-numeric: tabular-nums; }
.rows .word[aria-pressed=true] { border-color: var(--forced); font-weight: 700; }
.rows .word.near, .rows .near rect { outline: 2px dashed var(--soft); }
.rows .choice { display: flex; flex-wrap: wrap; gap: .3em; align-items: center; margin: .25em 0; }
.rows .choice > span { min-width: 11em; } .rows .choice button { padding: .1em .6em; cursor: pointer; }
.rows .choice button[aria-pressed=true] { background: var(--chosen); color: var(--on-chosen);
  border-color: var(--chosen); }
.rows .pair { display: flex; flex-wrap: wrap; gap: .5em 1.5em; } .rows .pair > svg { width: auto; min-width: 0; flex: 1 1 19em; max-width: 29em; }
.rows svg text { font: 11px system-ui, sans-serif; } .rows g[data-row] { cursor: pointer; }
`;

// Scores by temperature, what is visible, weights and their sums, as msa_ref.dense computes them.
function attend(scores, size, temperature, mask) {
  const rows = { scores: [], visible: [], weights: [], sums: [] };
  for (let t = 0; t < size; t++) {
    const row = Array.from(scores.slice(t * size, t * size + size), (x) => x / temperature);
    const seen = row.map((_, j) => mask === "none" || j <= t);
    const inside = row.map((_, j) => mask === "after the softmax" || seen[j]);
    const peak = Math.max(...row.filter((_, j) => inside[j]));
    const raised = row.map((x, j) => (inside[j] ? Math.exp(x - peak) : 0));
    const total = raised.reduce((sum, x) => sum + x, 0);
    const weights = raised.map((x, j) => (seen[j] ? x / total : 0));
    rows.scores.push(row);
    rows.visible.push(seen);
    rows.weights.push(weights);
    rows.sums.push(weights.reduce((sum, x) => sum + x, 0));
  }
  return rows;
}

// One choice of several as a row of buttons.
function choices(label, names, value, changed) {
  const buttons = names.map((name) => make("button", { type: "button", "aria-pressed": name === value }, name));
  buttons.forEach((button, i) =>
    button.addEventListener("click", () => {
      buttons.forEach((other) => other.setAttribute("aria-pressed", other === button));
      changed(names[i]);
    }),
  );
  const row = make("div", { class: "choice", role: "group", "aria-label": label }, make("span", {}, label), ...buttons);
  row.addEventListener("keydown", (event) => event.stopPropagation());
  return row;
}

export function render({ model, el }) {
  const words = model.get("words"), heads = model.get("heads"), masks = model.get("masks");
  const temperatures = model.get("temperatures"), size = words.length;
  const { values } = unpack(model.get("scores"));
  const state = { ...model.get("opening") };
  stage(el);
  el.classList.add("rows");
  el.append(make("style", {}, ROWS_STYLE));

  const strip = make("div", { class: "strip", role: "group", "aria-label": "the word that asks" });
  const tags = words.map((word, j) => {
    const share = make("small", {});
    const tag = make("button", { type: "button", class: "word", "aria-label": `query ${word}` }, word, share);
    tag.addEventListener("click", () => select(j));
    tag.addEventListener("pointerenter", () => point(j));
    tag.addEventListener("pointerleave", () => point(-1));
    strip.append(tag);
    return { tag, share };
  });
  strip.addEventListener("keydown", (event) => event.stopPropagation());

  // The triangle: a row of cells per query.
  const left = 62, top = 6, step = 31;
  const grid = make("svg:svg", { viewBox: `0 0 ${left + size * step + 6} ${top + size * step + 52}`, role: "group",
    "aria-label": "weights, a row per query" });
  const lines = words.map((word, t) => {
    const line = make("svg:g", { role: "button", tabindex: 0, "data-row": t, "aria-label": `row of ${word}` });
    const name = make("svg:text", { x: left - 6, y: top + t * step + 20, "text-anchor": "end" });
    name.textContent = word;
    line.append(name);
    const cells = words.map((_, j) => {
      const at = { x: left + j * step, y: top + t * step };
      const rect = make("svg:rect", { ...at, width: step - 1, height: step - 1, rx: 2 });
      const text = make("svg:text", { x: at.x + step / 2, y: at.y + 20, "text-anchor": "middle" });
      line.append(rect, text);
      return { rect, text };
    });
    line.addEventListener("click", () => select(t));
    line.addEventListener("pointerenter", () => point(t));
    line.addEventListener("pointerleave", () => point(-1));
    line.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        select(t);
      }
      event.stopPropagation();
    });
    grid.append(line);
    return { line, name, cells };
  });
  words.forEach((word, j) => {
    const [x, y] = [left + j * step + step / 2 + 4, top + size * step + 10];
    const name = make("svg:text", { x, y, "text-anchor": "end", transform: `rotate(-45 ${x} ${y})` });
    name.textContent = word;
    grid.append(name);
  });
  const frame = make("svg:rect", { x: left - 1.5, width: size * step + 2, height: step + 2, fill: "none",
    stroke: "var(--forced)", "stroke-width": 3, rx: 3, "pointer-events": "none" });
  grid.append(frame);

  // The row as bars, and what is missing from 1.
  const wide = 330, high = 165, base = 184;
  const chart = make("svg:svg", { viewBox: `0 0 ${wide} 238`, role: "img", "aria-label": "the row's weights as bars" });
  const bars = words.map((word, j) => {
    const x = 6 + (j * (wide - 12)) / size, middle = x + (wide - 12) / size / 2;
    const rect = make("svg:rect", { x: x + 3, width: (wide - 12) / size - 6 });
    const text = make("svg:text", { x: middle, "text-anchor": "middle" });
    const name = make("svg:text", { x: middle + 4, y: base + 14, "text-anchor": "end",
      transform: `rotate(-45 ${middle + 4} ${base + 14})` });
    name.textContent = word;
    chart.append(rect, text, name);
    return { rect, text, name };
  });
  chart.append(make("svg:line", { x1: 4, x2: wide - 4, y1: base, y2: base, stroke: "var(--soft)" }));

  const words_below = sentence();
  el.append(
    strip,
    choices("head", heads, state.head, (head) => update({ head })),
    slider("temperature", { min: 0, max: temperatures.length - 1, value: temperatures.indexOf(state.temperature),
      show: (i) => String(temperatures[i]) }, (i) => update({ temperature: temperatures[i] })),
    choices("mask", masks, state.mask, (mask) => update({ mask })),
    make("div", { class: "pair" }, grid, chart),
    words_below,
  );

  function point(row) {
    lines.forEach(({ line }, t) => line.classList.toggle("near", t === row));
    tags.forEach(({ tag }, t) => tag.classList.toggle("near", t === row));
  }
  const select = (query) => update({ query });

  function update(change) {
    Object.assign(state, change);
    const { query, head, temperature, mask } = state;
    const first = heads.indexOf(head) * size * size;
    const rows = attend(values.slice(first, first + size * size), size, temperature, mask);
    const future = (t, j) => j > t;
    lines.forEach(({ line, name, cells }, t) => {
      line.setAttribute("aria-pressed", t === query);
      name.style.fontWeight = t === query ? 700 : 400;
      cells.forEach(({ rect, text }, j) => {
        const share = rows.weights[t][j], seen = rows.visible[t][j];
        rect.style.fill = !seen ? "var(--hidden)" : future(t, j) ? "var(--bug)" : "var(--chosen)";
        rect.style.fillOpacity = seen ? 0.08 + 0.92 * Math.min(1, share) : 1;
        text.textContent = seen && share >= 0.005 ? (share + 1e-9).toFixed(2).replace(/^0/, "") : "";
        text.style.fill = share > 0.85 ? "#fff" : "var(--ink)";
      });
    });
    frame.setAttribute("y", top + query * step - 1.5);
    const shares = rows.weights[query];
    bars.forEach(({ rect, text, name }, j) => {
      const height = shares[j] * high;
      rect.setAttribute("y", base - height);
      rect.setAttribute("height", height);
      rect.style.fill = future(query, j) ? "var(--bug)" : "var(--chosen)";
      text.setAttribute("y", base - height - 4);
      text.textContent = rows.visible[query][j] ? (shares[j] + 1e-9).toFixed(2) : "hidden";
      name.style.fontWeight = j === query ? 700 : 400;
    });
    tags.forEach(({ tag, share }, j) => {
      const seen = rows.visible[query][j];
      const percent = Math.round(100 * Math.min(1, shares[j]));
      const ink = future(query, j) ? "var(--bug)" : "var(--visible)";
      tag.setAttribute("aria-pressed", j === query);
      tag.style.background = seen ? `color-mix(in srgb, ${ink} ${percent}%, transparent)` : "var(--hidden)";
      share.textContent = seen ? (shares[j] + 1e-9).toFixed(2) : "hidden";
    });
    words_below.textContent = describe(rows);
    publish(el, { settings: { ...state }, numbers: { scores: rows.scores, weights: rows.weights, sums: rows.sums } });
  }

  function describe(rows) {
    const { query, head, mask } = state;
    const shares = rows.weights[query], best = shares.indexOf(Math.max(...shares));
    const seen = rows.visible[query].filter(Boolean).length, sum = rows.sums[query];
    const asks = Math.max(...rows.scores[query]) !== Math.min(...rows.scores[query]);
    const last = query === size - 1;
    let text = `“${words[query]}” sees ${seen} of ${size} words`;
    text += asks
      ? `; head ${head} gives ${shares[best].toFixed(2)} to “${words[best]}”`
      : `. Head ${head} has no question here, so all of them weigh the same`;
    text += `. The weights add up to ${sum.toFixed(2)}.`;
    const later = shares.slice(query + 1).reduce((total, x) => total + x, 0);
    if (mask === "none" && !last) text += ` ${later.toFixed(2)} of that lies in the future.`;
    if (mask === "after the softmax" && !last)
      text += ` The missing ${(1 - sum).toFixed(2)} went to the future before the mask came.`;
    return text;
  }
  update({});
}

export default { render };
