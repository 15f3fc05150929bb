// The cost dial: context and game by sliders (or a click on the curve), bars of work and of time.

export function render({ model, el }) {
  const get = (key) => model.get(key);
  const contexts = get("contexts"), games = get("games"), settings = { ...get("opening") };
  const name = (n) => (n === 2 ** 20 ? "1M" : `${n / 1024}K`);

  function compute(context, game) {
    const prefill = game === games[0], block = get("block");
    let seen = context, read = Math.min(context, get("top_k") * block);
    if (prefill) {
      seen = (context * (context + 1)) / 2;
      read = 0;
      for (let b = 0; b < context / block; b++) {
        read += (block * (block + 1)) / 2 + block * block * Math.min(b, get("top_k") - 1);
      }
    }
    const pair = 4 * get("heads") * get("dim"), glance = 2 * get("kv_heads") * get("index_dim");
    const flops = [pair * seen, glance * seen + pair * read];
    const page = 4 * get("kv_heads") * get("dim"), card = get("index_dim") * (game === games[2] ? 1 : 2);
    const queries = 4 * get("heads") * get("dim") * context;
    const bytes = prefill
      ? [queries + page * context, queries + 2 * get("kv_heads") * get("index_dim") * context + (page + card) * context]
      : [page * context, card * context + page * read];
    const [dense, sparse] = prefill ? flops : bytes;
    const index = prefill ? glance * seen : card * context;
    return {
      dense, index, main: sparse - index, ratio: dense / sparse, ceiling: prefill ? pair / glance : page / card,
      math: flops.map((f) => f / get("peak")), memory: bytes.map((b) => b / get("bandwidth")),
    };
  }

  // As Python rounds: a tie goes to the even digit.
  function rounded(x) {
    const cents = x * 100, low = Math.floor(cents);
    return (cents - low === 0.5 && low % 2 === 0 ? low / 100 : x).toFixed(2);
  }
  function amount(number) {
    const power = Math.max(0, Math.floor(Math.log10(number) / 3));
    return `${(number / 1000 ** power).toFixed(1)} ${["", "k", "M", "G", "T", "P", "E"][power]}${settings.game === games[0] ? "FLOP" : "B"}`;
  }
  function duration(seconds) {
    if (seconds >= 1) return `${seconds.toFixed(1)} s`;
    return seconds >= 1e-3 ? `${(seconds * 1e3).toFixed(1)} ms` : `${(seconds * 1e6).toFixed(1)} µs`;
  }

  stage(el);
  el.append(make("style", {}, `
    .msa .bars { display: grid; grid-template-columns: max-content 1fr; gap: .25em .7em; margin: .6em 0; }
    .msa .track { display: flex; align-items: center; min-width: 0; gap: .4em; } .msa .track > i { height: 1.3em; flex: none; }
    .msa .index { background: repeating-linear-gradient(45deg, #009e73 0 4px, #00795a 4px 8px); } .msa .main { background: var(--chosen); min-width: 3px; }
    .msa .dense { background: #767676; } .msa .short { background: var(--line); } .msa .long { background: var(--ink); }
    .msa .panels { display: flex; flex-wrap: wrap; gap: 0 2em; } .msa .panels > div { flex: 1 1 300px; min-width: 0; }
    .msa h4 { margin: .6em 0 .1em; font-size: 1em; } .msa .key i { display: inline-block; width: 1em; height: .8em; margin: 0 .3em 0 .8em; }
    .msa .dot { cursor: pointer; } .msa .dot .hit { fill: transparent; } .msa .dot:hover .mark { stroke: var(--ink); stroke-width: 2; }`));
  const context = slider("context", { min: 0, max: contexts.length - 1, value: contexts.indexOf(settings.context), show: (i) => name(contexts[i]) },
    (i) => { settings.context = contexts[i]; update(); });
  const game = slider("game", { min: 0, max: games.length - 1, value: games.indexOf(settings.game), show: (i) => games[i] },
    (i) => { settings.game = games[i]; update(); });
  el.append(context, game);

  function bar(rows, label, ...classes) {
    const pieces = classes.map((kind) => make("i", { class: kind })), value = make("span");
    rows.append(make("span", {}, label), make("span", { class: "track" }, ...pieces, value));
    return (shares, text) => {
      pieces.forEach((piece, i) => { piece.style.width = `calc((100% - 7em) * ${shares[i]})`; piece.style.marginRight = i ? "" : (pieces.length > 1 ? "-.4em" : ""); });
      value.textContent = text;
    };
  }
  const workTitle = make("h4"), work = make("div", { class: "bars" });
  const denseBar = bar(work, "dense", "dense"), sparseBar = bar(work, "MSA", "index", "main");
  const key = make("p", { class: "key" }, make("i", { class: "index" }), "index scan", make("i", { class: "main" }), "main branch");
  const times = make("div", { class: "bars" });
  const labels = ["dense: compute", "dense: move", "MSA: compute", "MSA: move"];
  const timeBars = labels.map((label) => bar(times, label, "short"));
  const W = 340, H = 190, left = 34, bottom = 160;
  const line = make("svg:polyline", { fill: "none", stroke: "var(--chosen)", "stroke-width": 2.5 });
  const roof = make("svg:line", { x1: left, x2: W, stroke: "var(--ink)", "stroke-dasharray": "5 4" });
  const roofText = make("svg:text", { x: left + 4, "font-size": 13 });
  const here = make("svg:circle", { r: 7, fill: "var(--chosen)", stroke: "var(--page)", "stroke-width": 2 });
  const x = (i) => left + 8 + (i * (W - left - 24)) / (contexts.length - 1);
  const choose = (i) => {
    const input = context.querySelector("input");
    input.value = i;
    input.dispatchEvent(new Event("input"));
  };
  const dots = contexts.map((n, i) => {
    const mark = make("svg:circle", { r: 4, class: "mark", fill: "var(--chosen)" }), hit = make("svg:circle", { r: 13, class: "hit" });
    const node = make("svg:g", { class: "dot", role: "button", tabindex: 0 }, hit, mark);
    node.addEventListener("click", () => choose(i));
    node.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose(i);
    });
    return { node, mark, hit };
  });
  const axis = make("svg:path", { d: `M${left} 8V${bottom}H${W}`, fill: "none", stroke: "var(--soft)" });
  const ticks = contexts.flatMap((n, i) => (i % 2 ? [] : [make("svg:text", { x: x(i), y: bottom + 17, "font-size": 12, "text-anchor": "middle" }, name(n))]));
  const zero = make("svg:text", { x: left - 6, y: bottom + 4, "font-size": 12, "text-anchor": "end" }, "0");
  const most = make("svg:text", { x: left - 6, "font-size": 12, "text-anchor": "end" });
  const svg = make("svg:svg", { viewBox: `0 0 ${W} ${H}`, role: "group", "aria-label": "times less than dense, at every context" },
    axis, ...ticks, zero, most, roof, roofText, line, here, ...dots.map((dot) => dot.node));
  const words = sentence();
  el.append(workTitle, work, key, make("div", { class: "panels" },
    make("div", {}, make("h4", {}, "At best on an H100: the longer one (dark) is the time"), times),
    make("div", {}, make("h4", {}, "Times less than dense (click a context)"), svg)), words);

  function update() {
    const dial = compute(settings.context, settings.game), sparse = dial.index + dial.main;
    workTitle.textContent = `${name(settings.context)} tokens, ${settings.game}: ${settings.game === games[0] ? "FLOPs" : "bytes read"} of one layer`;
    const largest = Math.max(dial.dense, sparse);
    denseBar([dial.dense / largest], amount(dial.dense));
    sparseBar([dial.index / largest, dial.main / largest], amount(sparse));
    const all = [dial.math[0], dial.memory[0], dial.math[1], dial.memory[1]];
    timeBars.forEach((show, i) => {
      show([all[i] / Math.max(...all)], duration(all[i]));
      times.children[2 * i + 1].firstChild.className = all[i] === Math.max(all[i - (i % 2)], all[i - (i % 2) + 1]) ? "long" : "short";
    });
    const y = (ratio) => bottom - (ratio / dial.ceiling) * (bottom - 24);
    const ratios = contexts.map((n) => compute(n, settings.game).ratio);
    line.setAttribute("points", ratios.map((ratio, i) => `${x(i)},${y(ratio)}`).join(" "));
    dots.forEach(({ node, mark, hit }, i) => {
      for (const circle of [mark, hit]) { circle.setAttribute("cx", x(i)); circle.setAttribute("cy", y(ratios[i])); }
      node.setAttribute("aria-label", `${name(contexts[i])}: ${ratios[i].toFixed(2)} times less`);
    });
    here.setAttribute("cx", x(contexts.indexOf(settings.context)));
    here.setAttribute("cy", y(dial.ratio));
    for (const end of ["y1", "y2"]) roof.setAttribute(end, y(dial.ceiling));
    roofText.setAttribute("y", y(dial.ceiling) - 5);
    roofText.textContent = `ceiling ${dial.ceiling.toFixed(0)}`;
    most.setAttribute("y", y(dial.ceiling) + 4);
    most.textContent = dial.ceiling.toFixed(0);
    const verdict = dial.ratio > 1 ? `${rounded(dial.ratio)} times less` : `${rounded(1 / dial.ratio)} times more`;
    const [first, second] = [0, 1].map((i) => duration(Math.max(dial.math[i], dial.memory[i])));
    words.textContent = `At ${name(settings.context)} tokens (${settings.game}) a dense layer ${settings.game === games[0] ? "computes" : "reads"} `
      + `${amount(dial.dense)} and the MSA layer ${amount(sparse)}: ${verdict} (never more than ${dial.ceiling.toFixed(0)} times less). `
      + `The index scan is ${(100 * dial.index / sparse).toFixed(0)}% of MSA's cost. At best that takes ${first} and ${second}.`;
    publish(el, { settings: { ...settings }, numbers: dial });
  }
  update();
}

export default { render };
