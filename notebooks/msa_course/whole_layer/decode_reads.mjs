// One decode step: three lanes of pages, the read ones lit, and the bytes beside dense attention.

const LANES_STYLE = `
.lanes .lane { display: grid; grid-template-columns: minmax(5.5em, 8em) 1fr; gap: .1em .7em; align-items: center; }
.msa.lanes[data-theme=dark] { --chosen: #3d9be0; --visible: #8fd0f5; }
.lanes .lane > b { font-weight: 600; grid-column: 1 / -1; margin-top: .5em; }
.lanes .lane > span, .lanes .lane > button { font-size: 13px; text-align: left; }
.lanes .lane > button { border-color: transparent; cursor: pointer; padding: 0 .3em; }
.lanes .lane > button[aria-pressed=true] { border-color: var(--forced); border-width: 2px; font-weight: 700; }
.lanes .lane > svg { height: 17px; } .lanes .lane > svg.thin { height: 13px; }
.lanes .read { min-height: 1.5em; color: var(--soft); margin: .3em 0; }
.lanes rect.near { stroke: var(--ink); stroke-width: 3px; vector-effect: non-scaling-stroke; }
.lanes .amount { font-variant-numeric: tabular-nums; }
.lanes .key { display: inline-block; width: .9em; height: .9em; margin: 0 .3em 0 .8em; vertical-align: -1px; }
@media (prefers-reduced-motion: no-preference) { .lanes .bar { transition: width .15s; } }
`;
const WIDE = 1000, NARROWEST = WIDE / 200, LINED = 64, GROUPS = 4;

// Blocks of one group, ascending: the local one, then those with the best needle, ties to the lower id.
function select(places, ranks, { context, block_size, top_k }) {
  const local = Math.ceil(context / block_size) - 1;
  const score = new Map([[local, Infinity]]);
  places.forEach((place, i) => {
    const page = Math.floor(Math.floor((place * context) / 2 ** 20) / block_size);
    score.set(page, Math.max(score.get(page) ?? 0, ranks[i]));
  });
  const order = [...score.keys()].sort((a, b) => score.get(b) - score.get(a) || a - b);
  for (let page = 0; page < local && order.length < top_k; page++) if (!score.has(page)) order.push(page);
  return order.slice(0, top_k).sort((a, b) => a - b);
}

const whole = (number) => number.toLocaleString("en-US");
const mega = (bytes) => (bytes / 1e6).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

export function render({ model, el }) {
  const state = { ...model.get("opening") };
  const [places, ranks] = [unpack(model.get("places")), unpack(model.get("ranks"))];
  const count = places.shape[2], sizes = model.get("sizes"), powers = model.get("powers");
  const tokenBytes = model.get("token_bytes"), indexDim = model.get("index_dim");
  stage(el);
  el.classList.add("lanes");
  el.append(make("style", {}, LANES_STYLE));

  const strip = (name, thin) =>
    make("svg:svg", { viewBox: `0 0 ${WIDE} 10`, preserveAspectRatio: "none", class: thin ? "thin" : "", role: "img",
      "aria-label": name });
  // The local block is hatched.
  const hatch = "repeating-linear-gradient(135deg, var(--forced) 0 3px, var(--page) 3px 4px)";
  const swatch = (colour) => make("i", { class: "key",
    style: `background: ${colour === "var(--forced)" ? hatch : colour}` });
  const board = make("div", { class: "lane" });
  const index = strip("index keys: every page is read");
  board.append(make("b", {}, "index keys, one lane for all groups"), make("span", {}, "all"), index);
  const rows = [];
  for (const lane of ["keys", "values"]) {
    board.append(make("b", {}, `${lane}, one row per group`, swatch("var(--chosen)"), "chosen", swatch("var(--forced)"),
      "local block, always read"));
    for (let group = 0; group < GROUPS; group++) {
      const picture = strip(`${lane} of group ${group}`, true);
      const name = make("button", { type: "button", "aria-label": `${lane}: name the blocks of group ${group}` },
        `group ${group}`);
      name.addEventListener("click", () => update({ group }));
      name.addEventListener("keydown", (event) => event.stopPropagation());
      picture.addEventListener("click", () => update({ group }));
      board.append(name, picture);
      rows.push({ lane, group, name, picture });
    }
  }
  const pointed = make("p", { class: "read" });
  const amounts = make("div", { class: "lane amount" });
  const bar = (colours) => {
    const picture = strip("bytes", false);
    const parts = colours.map((colour) => make("svg:rect", { y: 0, height: 10, fill: colour, class: "bar" }));
    picture.append(...parts);
    return { picture, parts };
  };
  const ours = bar(["var(--visible)", "var(--chosen)"]), theirs = bar(["var(--soft)"]);
  const [oursText, theirsText] = [make("span"), make("span")];
  const legend = make("b", {}, "bytes that one layer reads:", swatch("var(--visible)"), "all index keys",
    swatch("var(--chosen)"), "chosen keys and values", swatch("var(--soft)"), "dense: all keys and values");
  amounts.append(legend, oursText, ours.picture, theirsText, theirs.picture);
  const bytesButton = make("button", { type: "button" });
  bytesButton.addEventListener("click", () => update({ channel_bytes: 3 - state.channel_bytes }));
  bytesButton.addEventListener("keydown", (event) => event.stopPropagation());
  const words = sentence();
  el.append(
    slider("Context (tokens)", { min: powers[0], max: powers[1], value: Math.log2(state.context),
      show: (power) => whole(2 ** power) }, (power) => update({ context: 2 ** power })),
    slider("Blocks kept (k)", { min: 1, max: model.get("most"), value: state.top_k }, (top_k) => update({ top_k })),
    slider("Block size (tokens)", { min: 0, max: sizes.length - 1, value: sizes.indexOf(state.block_size),
      show: (i) => String(sizes[i]) }, (i) => update({ block_size: sizes[i] })),
    slider("Which query", { min: 1, max: places.shape[0], value: state.query }, (query) => update({ query })),
    bytesButton, board, pointed, amounts, words,
  );

  const point = (group, block) => {
    for (const rect of board.querySelectorAll("rect.near")) rect.classList.remove("near");
    if (block === undefined) return (pointed.textContent = "Point at a lit page: its key and value light up together.");
    for (const rect of board.querySelectorAll(`rect[data-page="${group} ${block}"]`)) rect.classList.add("near");
    const first = block * state.block_size, last = Math.min(first + state.block_size, state.context) - 1;
    pointed.textContent = `Block ${whole(block)} of group ${group}: tokens ${whole(first)} to ${whole(last)}, ` +
      `${whole(((last - first + 1) * tokenBytes) / GROUPS)} bytes of keys and values.`;
  };

  function update(change) {
    Object.assign(state, change);
    const { context, top_k, block_size, query, channel_bytes, group } = state;
    const pages = Math.ceil(context / block_size), width = Math.max((WIDE * block_size) / context, NARROWEST);
    const selection = Array.from({ length: GROUPS }, (_, g) => {
      const at = ((query - 1) * GROUPS + g) * count;
      return select(places.values.subarray(at, at + count), ranks.values.subarray(at, at + count), state);
    });
    const numbers = {
      num_pages: pages, chosen: selection[group], selection,
      index_bytes: indexDim * channel_bytes * context,
      main_bytes: tokenBytes * Math.min(top_k, pages) * block_size, dense_bytes: tokenBytes * context,
    };
    const read = numbers.index_bytes + numbers.main_bytes;
    numbers.ratio = numbers.dense_bytes / read;

    const page = (block, fill, gap = 0) => make("svg:rect", { x: Math.min((block * WIDE * block_size) / context,
      WIDE - width), width: width - gap, y: 0, height: 10, fill });
    const lit = pages <= LINED ? Array.from({ length: pages }, (_, b) => page(b, "var(--visible)", 1)) : [
      make("svg:rect", { width: WIDE, height: 10, fill: "var(--visible)" })];
    index.replaceChildren(...lit);
    for (const row of rows) {
      const rects = selection[row.group].map((block) => {
        const rect = page(block, block === pages - 1 ? "var(--forced)" : "var(--chosen)", pages <= LINED ? 1 : 0);
        rect.dataset.page = `${row.group} ${block}`;
        rect.addEventListener("pointerenter", () => point(row.group, block));
        rect.addEventListener("pointerleave", () => point());
        return rect;
      });
      // Lines across the local page; on a page too thin for them its colour alone is left.
      const local = rects.at(-1), [left, wide] = [+local.getAttribute("x"), +local.getAttribute("width")];
      const lines = [0.25, 0.5, 0.75].map((at) => make("svg:line", { x1: left + at * wide, x2: left + at * wide, y1: 0,
        y2: 10, stroke: "var(--page)", "vector-effect": "non-scaling-stroke", "pointer-events": "none" }));
      const back = make("svg:rect", { width: WIDE, height: 10, fill: "var(--hidden)" });
      row.picture.replaceChildren(back, ...rects, ...(wide > 15 ? lines : []));
      row.name.setAttribute("aria-pressed", row.group === group);
    }
    const scale = WIDE / Math.max(read, numbers.dense_bytes);
    ours.parts[0].setAttribute("width", numbers.index_bytes * scale);
    ours.parts[1].setAttribute("x", numbers.index_bytes * scale);
    ours.parts[1].setAttribute("width", numbers.main_bytes * scale);
    theirs.parts[0].setAttribute("width", numbers.dense_bytes * scale);
    oursText.textContent = `MSA ${mega(read)} MB`;
    theirsText.textContent = `dense ${mega(numbers.dense_bytes)} MB`;
    bytesButton.textContent = channel_bytes === 2 ? "Index keys in bf16 (2 bytes): make them 1 byte"
      : "Index keys in fp8 (1 byte): make them 2 bytes";
    point();
    words.textContent = describe(numbers, read);
    publish(el, { settings: { ...state }, numbers });
  }

  function describe(numbers, read) {
    const ids = numbers.chosen, others = ids.slice(0, -1).slice(0, 6).join(", ") + (ids.length > 7 ? ", ..." : "");
    const local = `the local block, ${ids.at(-1)}`;
    const compared = read < numbers.dense_bytes ? `${numbers.ratio.toFixed(2)} times less than`
      : `${(read / numbers.dense_bytes).toFixed(3)} times`;
    return `Query ${state.query} at the end of ${whole(state.context)} tokens reads every index key ` +
      `(${mega(numbers.index_bytes)} MB), then keys and values of ${ids.length} of ${whole(numbers.num_pages)} ` +
      `pages in each of ${GROUPS} groups (${mega(numbers.main_bytes)} MB). Group ${state.group} reads ` +
      `${others ? `blocks ${others} and ${local}` : local}. Together ${mega(read)} MB, ${compared} the ` +
      `${mega(numbers.dense_bytes)} MB of dense attention.`;
  }
  update({});
}

export default { render };
