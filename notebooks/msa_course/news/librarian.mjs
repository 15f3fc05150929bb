// The librarian: three sliders, four shelves of two pages, a card over each page.

export function render({ model, el }) {
  const tenths = model.get("tenths"), degrees = model.get("temperatures");
  const size = model.get("shelf_size"), strongest = model.get("strongest");
  const settings = { ...model.get("opening") };
  const pages = tenths.length, shelves = pages / size;
  let pinned = -1, hovered = -1, visit;

  function compute() {
    const scores = tenths.map(([a, b]) => (a * settings.sea + b * settings.mountains) / 10);
    const top = Math.max(...scores);
    const raised = scores.map((s) => Math.exp(s - top));
    const sum = raised.reduce((a, b) => a + b);
    const weights = raised.map((e) => e / sum);
    const shelfScores = Array.from({ length: shelves }, (_, s) => Math.max(...scores.slice(s * size, s * size + size)));
    const order = shelfScores.map((_, s) => s).sort((a, b) => shelfScores[b] - shelfScores[a] || a - b);
    const chosen = order.slice(0, settings.shelves).sort((a, b) => a - b);
    const read = tenths.map((_, page) => chosen.includes(Math.floor(page / size)));
    const over = (list, f) => list.reduce((total, x, page) => total + f(x, page), 0);
    const mass = over(weights, (w, page) => (read[page] ? w : 0));
    return {
      scores, weights, shelf_scores: shelfScores, shelves: chosen, read, mass_read: mass,
      answer_all: over(weights, (w, page) => w * degrees[page]),
      answer_read: over(weights, (w, page) => (read[page] ? w * degrees[page] : 0)) / mass,
    };
  }

  stage(el);
  el.append(make("style", {}, `
    .msa .shelves { display: flex; flex-wrap: wrap; gap: .4em; margin: .5em 0; }
    .msa .shelf { flex: 1 1 160px; max-width: 215px; }
    .msa .page { cursor: pointer; outline-offset: 2px; } .msa .page rect { stroke: var(--ink); }
    .msa .page.near > .book { stroke-width: 3; } .msa svg .card-text { fill: #1a1a1a; }
    .msa .detail { min-height: 3em; color: var(--soft); margin: .2em 0; }`));
  const move = (name) => (value) => { settings[name] = value; update(); };
  const ends = { min: 0, max: strongest };
  el.append(
    slider("question: sea", { ...ends, value: settings.sea }, move("sea")),
    slider("question: mountains", { ...ends, value: settings.mountains }, move("mountains")),
    slider("shelves opened", { min: 1, max: shelves, value: settings.shelves }, move("shelves")),
  );
  const row = make("div", { class: "shelves" });
  const detail = make("p", { class: "detail" }), words = sentence();
  const text = (x, y, size, extra = {}) => make("svg:text", { x, y, "font-size": size, "text-anchor": "middle", ...extra });
  const look = (page) => { hovered = page; point(); };
  const parts = tenths.map(([a, b], page) => {
    const x = (page % size) * 92 + 4;
    const part = {
      card: make("svg:rect", { x: x + 18, y: 8, width: 50, height: 30, rx: 5, fill: "var(--visible)" }),
      score: text(x + 43, 28, 14, { class: "card-text" }),
      ring: make("svg:ellipse", { cx: x + 43, cy: 23, rx: 36, ry: 21, fill: "none", stroke: "var(--ink)", "stroke-width": 2.5 }),
      book: make("svg:rect", { x, y: 52, width: 86, height: 88, class: "book" }),
      inside: text(x + 43, 78, 15, { "font-weight": "bold" }),
      sea: text(x + 43, 103, 12), mountains: text(x + 43, 122, 12),
      bar: make("svg:rect", { x: x + 18, width: 50 }), share: text(x + 43, 0, 13),
    };
    part.sea.textContent = `sea ${(a / 10).toFixed(1)}`;
    part.mountains.textContent = `mountain ${(b / 10).toFixed(1)}`;
    part.node = make("svg:g", { class: "page", role: "button", tabindex: 0 }, ...Object.values(part));
    const pin = () => { pinned = pinned === page ? -1 : page; point(); };
    part.node.addEventListener("click", pin);
    part.node.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      pin();
    });
    part.node.addEventListener("mouseenter", () => look(page));
    part.node.addEventListener("mouseleave", () => look(-1));
    return part;
  });
  const planks = Array.from({ length: shelves }, (_, shelf) => {
    const plank = make("svg:rect", { x: 0, y: 140, width: 186, height: 7 }), name = text(93, 164, 13);
    const mine = parts.slice(shelf * size, shelf * size + size).map((part) => part.node);
    const svg = make("svg:svg", { viewBox: "-2 0 190 272", role: "group", "aria-label": `shelf ${shelf}` }, ...mine, plank, name);
    row.append(make("div", { class: "shelf" }, svg));
    return { plank, name };
  });
  el.append(row, detail, words);

  const percent = (share) => `${(100 * share).toFixed(0)}%`;
  function point() {
    const page = hovered >= 0 ? hovered : pinned;
    parts.forEach((part, other) => {
      part.node.classList.toggle("near", other === page);
      part.node.setAttribute("aria-pressed", other === pinned);
    });
    if (page < 0) {
      detail.textContent = "Above each page is its card: how well it fits the question. A ring marks the best card of a shelf. "
        + "Below is its share of the attention. Point at a page to see the sum.";
      return;
    }
    const [a, b] = tenths[page].map((t) => (t / 10).toFixed(1));
    detail.textContent = `Page ${page}: ${settings.sea} × ${a} + ${settings.mountains} × ${b} = ${visit.scores[page].toFixed(1)} on its card; `
      + `${percent(visit.weights[page])} of the attention; it says ${degrees[page]} degrees`
      + (visit.read[page] ? "." : ", but nobody opens it.");
  }

  function update() {
    visit = compute();
    parts.forEach((part, page) => {
      const first = page - (page % size), read = visit.read[page];
      const best = visit.scores.slice(first, first + size).indexOf(visit.shelf_scores[page / size | 0]) + first === page;
      const fill = read ? "var(--chosen)" : "var(--hidden)", ink = `fill: var(${read ? "--on-chosen" : "--ink"})`;
      part.score.textContent = visit.scores[page].toFixed(1);
      part.ring.style.display = best ? "" : "none";
      part.book.setAttribute("fill", fill);
      part.inside.textContent = read ? `${degrees[page]} °C` : "closed";
      for (const name of ["inside", "sea", "mountains"]) part[name].setAttribute("style", ink);
      const height = 80 * visit.weights[page];
      part.bar.setAttribute("y", 270 - height);
      part.bar.setAttribute("height", height);
      part.bar.setAttribute("fill", fill);
      part.share.setAttribute("y", 264 - height);
      part.share.textContent = percent(visit.weights[page]);
      part.node.setAttribute("aria-label", `page ${page}, card ${part.score.textContent}, `
        + `${part.share.textContent} of the attention, ${read ? "read" : "closed"}`);
    });
    planks.forEach(({ plank, name }, shelf) => {
      const open = visit.shelves.includes(shelf);
      plank.setAttribute("fill", open ? "var(--chosen)" : "var(--soft)");
      name.textContent = `shelf ${shelf}: ${open ? "open" : "dark"}`;
    });
    const names = visit.shelves.join(", "), count = visit.shelves.length * size;
    words.textContent = `All ${pages} cards are read; the best open ${visit.shelves.length === 1 ? "shelf" : "shelves"} ${names}. `
      + `The ${count} pages there get ${percent(visit.mass_read)} of the attention and answer `
      + `${visit.answer_read.toFixed(1)} degrees; all ${pages} pages would answer ${visit.answer_all.toFixed(1)}.`;
    point();
    publish(el, { settings: { ...settings }, numbers: visit });
  }
  update();
}

export default { render };
