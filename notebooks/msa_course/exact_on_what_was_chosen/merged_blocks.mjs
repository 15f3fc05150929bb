// Token 612's blocks: click one to read it or leave it, and see what is captured and what is lost.

const SMALL = 5e-4;
const TOP = 150, LEFT = 34, WIDE = 480;

// Mass of every block, and captured mass and error of the merge of the blocks read.
function merge(outs, lses, read) {
  const [blocks, width] = outs.shape;
  const softmax = (kept) => {
    const peak = Math.max(...lses.filter((_, b) => kept(b)));
    const parts = lses.map((lse, b) => (kept(b) ? Math.exp(lse - peak) : 0));
    const total = parts.reduce((sum, x) => sum + x, 0);
    return parts.map((x) => (total ? x / total : 0));
  };
  const mix = (share) =>
    Array.from({ length: width }, (_, c) => share.reduce((sum, x, b) => sum + x * outs.at(b, c), 0));
  const mass = softmax(() => true);
  const dense = mix(mass), sparse = mix(softmax((b) => read.has(b)));
  const error = dense.map((x, c) => x - sparse[c]);
  const sum = (wanted) => mass.reduce((all, x, b) => all + (read.has(b) === wanted ? x : 0), 0);
  const captured = sum(true), missed = sum(false);
  const largest_error = Math.max(...error.map(Math.abs));
  const gap = missed >= SMALL ? largest_error / missed : 0;
  return { blocks, mass, error, captured, missed, largest_error, gap };
}

function words(head, count, total, now) {
  if (!count)
    return `No block is read: the output is 0, its LSE is -inf, and all of dense attention, up to ${now.largest_error.toFixed(3)}, is the error.`;
  const read = `Head ${head} reads ${count} block${count > 1 ? "s" : ""} of ${total} and captures ${(100 * now.captured).toFixed(1)}% of its mass.`;
  if (now.gap === 0) return `${read} The largest error of the output is ${now.largest_error.toFixed(4)}.`;
  return `${read} Missed mass ${now.missed.toFixed(3)} times the difference of the unread and the read, ${now.gap.toFixed(2)} in the worst channel, is the largest error: ${now.largest_error.toFixed(3)}.`;
}

export function render({ model, el }) {
  stage(el);
  const texts = model.get("texts"), heads = model.get("heads"), opening = model.get("opening");
  const outs = unpack(model.get("outs")), lses = unpack(model.get("lses")), best = unpack(model.get("best"));
  const [, blocks, width] = outs.shape;
  let head = opening.head, shown = 7;
  const bestOf = (k) => new Set([...best.values.slice((k - 1) * blocks, k * blocks)].filter((b) => b >= 0));
  let read = bestOf(opening.top_k);

  el.append(make("style", {}, `
.msa .block { cursor: pointer; } .msa .block rect.bar { stroke: var(--soft); stroke-width: .6; }
.msa .block rect.hit { fill: transparent; } .msa .block:hover rect.hit { fill: var(--soft); fill-opacity: .15; }
.msa .tall { max-width: 46em; } .msa .said { min-height: 4.5em; margin: .3em 0; }`));
  el.append(
    slider("query head", { min: heads[0], max: heads.at(-1), value: head }, (h) => { head = h; update(); }),
    slider("best k blocks of the group", { min: 1, max: blocks, value: opening.top_k }, (k) => { read = bestOf(k); update(); }),
    make("p", {}, "Click a block to read it or to leave it out. The bars: each block's share of the look."),
  );

  const step = (WIDE - LEFT) / blocks;
  const picture = make("svg:svg", { viewBox: `0 0 ${WIDE} 300`, class: "tall", role: "group", "aria-label": "blocks and errors" });
  const bars = texts.map((text, b) => {
    const x = LEFT + b * step;
    const bar = make("svg:rect", { class: "bar", x: x + 2, width: step - 4 });
    const hit = make("svg:rect", { class: "hit", x, y: 0, width: step, height: TOP + 22 });
    const name = make("svg:text", { x: x + step / 2, y: TOP + 14, "text-anchor": "middle", "font-size": 12 }, `${b}`);
    const under = make("svg:rect", { x: x + 2, y: TOP + 18, width: step - 4, height: 3 });
    const group = make("svg:g", { class: "block", role: "button", tabindex: 0 }, bar, under, hit, name);
    const toggle = () => { read.has(b) ? read.delete(b) : read.add(b); shown = b; update(); };
    group.addEventListener("click", toggle);
    group.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(); }
    });
    for (const on of ["pointerenter", "focus"]) group.addEventListener(on, () => { shown = b; say(); });
    return { group, bar, name, under };
  });
  const channels = Array.from({ length: width }, (_, c) =>
    make("svg:rect", { x: LEFT + (c * (WIDE - LEFT)) / width + 1, width: (WIDE - LEFT) / width - 2, fill: "var(--ink)" }));
  const label = (x, y, text, more = {}) => make("svg:text", { x, y, "font-size": 12, ...more }, text);
  const scale = label(LEFT - 4, 204, "", { "text-anchor": "end" });
  picture.append(
    label(LEFT - 4, 12, "100%", { "text-anchor": "end" }), label(LEFT - 4, TOP, "0", { "text-anchor": "end" }),
    ...bars.map((bar) => bar.group), scale, label(LEFT - 4, 280, "0", { "text-anchor": "end" }), ...channels,
    label(LEFT, 297, "64 channels: |dense - sparse|"), label(WIDE, TOP + 34, "block", { "text-anchor": "end" }),
  );
  const said = make("p", { class: "said" }), spoken = sentence();
  el.append(picture, said, spoken);

  function say() {
    said.replaceChildren(make("b", {}, `block ${shown}: `), texts[shown]);
  }

  function update() {
    const of = head - heads[0];
    const mine = { shape: [blocks, width], at: (b, c) => outs.values[(of * blocks + b) * width + c] };
    const now = merge(mine, [...lses.values.slice(of * blocks, (of + 1) * blocks)], read);
    bars.forEach(({ group, bar, name, under }, b) => {
      const height = Math.max(2, now.mass[b] * (TOP - 4));
      bar.setAttribute("y", TOP - height);
      bar.setAttribute("height", height);
      bar.setAttribute("fill", read.has(b) ? "var(--chosen)" : "var(--hidden)");
      name.setAttribute("font-weight", read.has(b) ? 700 : 400);
      under.setAttribute("fill", read.has(b) ? "var(--chosen)" : "none");
      group.setAttribute("aria-pressed", read.has(b));
      group.setAttribute("aria-label", `block ${b}, ${(100 * now.mass[b]).toFixed(1)}% of the mass`);
    });
    const most = 10 ** Math.ceil(Math.log10(Math.max(now.largest_error, 1e-4)));
    scale.textContent = `${+most.toPrecision(1)}`;
    now.error.forEach((x, c) => {
      const height = Math.max(0.5, (82 * Math.abs(x)) / most);
      channels[c].setAttribute("y", 280 - height);
      channels[c].setAttribute("height", height);
    });
    say();
    spoken.textContent = words(head, read.size, blocks, now);
    const { captured, missed, largest_error, gap } = now;
    publish(el, {
      settings: { head, blocks: [...read].sort((a, b) => a - b) },
      numbers: { captured, missed, largest_error, gap },
    });
  }
  update();
}

export default { render };
