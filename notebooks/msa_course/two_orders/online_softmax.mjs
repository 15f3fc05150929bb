// Online softmax: one row of scores read chunk by chunk, and the three numbers that it keeps.

const WIDE = 480, LEFT = 34, FLOOR = -2, TOP_SCORE = 3.2, BASE = 150, LOW = 312, HIGH = 205;

// What the row keeps after each step; entry 0 is before the first. As online_softmax.compute.
function walk(scores, values, chunk) {
  const states = [{ stop: 0, peak: -Infinity, rescale: 1, total: 0, weighted: 0 }];
  for (let start = 0; start < scores.length; start += chunk) {
    const old = states.at(-1), stop = Math.min(start + chunk, scores.length);
    const peak = Math.max(old.peak, ...scores.slice(start, stop));
    const shift = peak === -Infinity ? 0 : peak;
    const rescale = old.peak === -Infinity ? 1 : Math.exp(old.peak - shift);
    let total = old.total * rescale, weighted = old.weighted * rescale;
    for (let key = start; key < stop; key += 1) {
      const term = Math.exp(scores[key] - shift);
      total += term;
      weighted += term * values[key];
    }
    states.push({ stop, peak, rescale, total, weighted });
  }
  return states;
}

const out = (state) => (state.total ? state.weighted / state.total : null);

function words(states, step, scores) {
  if (!step) return "Nothing is read yet: the peak is -inf, the sum and the weighted sum are 0.";
  const old = states[step - 1], now = states[step], last = states.length - 1, f = (x) => x.toFixed(3);
  const size = now.stop - old.stop;
  const keys = size === 1 ? `key ${old.stop}` : `keys ${old.stop}${size === 2 ? " and " : " to "}${now.stop - 1}`;
  const hidden = scores.slice(old.stop, now.stop).every((score) => score === -Infinity);
  let text = `Step ${step} of ${last} reads ${keys}`;
  if (hidden && now.peak === -Infinity)
    text += ": all hidden, so the peak stays -inf and both sums stay 0. The shrink factor must not be computed as exp(-inf - -inf), which is NaN.";
  else if (hidden) text += ": all hidden, so nothing changes.";
  else if (old.peak === -Infinity) text += `: the first peak is ${now.peak.toFixed(2)} and the sum is ${f(now.total)}.`;
  else if (now.peak > old.peak)
    text += `: a new peak, ${now.peak.toFixed(2)}. The old sum ${f(old.total)} shrinks by the factor ${f(now.rescale)} to ${f(old.total * now.rescale)}, and the new keys add ${f(now.total - old.total * now.rescale)}.`;
  else
    text += `: no score is above the peak ${now.peak.toFixed(2)}, so nothing shrinks. The new keys add ${f(now.total - old.total)} to the sum, now ${f(now.total)}.`;
  if (step === last) return `${text} All keys are read: the output ${f(out(now))} is the softmax's, exactly.`;
  if (now.total) text += ` The output so far is ${f(out(now))}; it will end at ${f(out(states[last]))}.`;
  return text;
}

export function render({ model, el }) {
  stage(el);
  const cases = model.get("cases"), values = model.get("values"), chunks = model.get("chunks");
  let { step, chunk, case: kind } = model.get("opening");
  const size = values.length;
  const scoresOf = (name) => cases[name].map((score) => score ?? -Infinity);

  el.append(make("style", {}, `
.msa .tall { max-width: 46em; } .msa .key { cursor: pointer; } .msa .key:hover .hit { fill: var(--soft); fill-opacity: .15; }
.msa .kinds { display: flex; flex-wrap: wrap; gap: .4em; margin: .4em 0; } .msa .kinds button { padding: .1em .6em; }
.msa .kinds button[aria-pressed=true] { background: var(--chosen); color: var(--on-chosen); }`));
  const steps = slider("step", { min: 0, max: size / chunk, value: step }, (value) => { step = value; update(); });
  const [stepInput, stepShown] = [steps.querySelector("input"), steps.querySelector("output")];
  const setStep = (value) => { stepInput.value = value; step = +stepInput.value; stepShown.value = step; stepInput.setAttribute("aria-valuetext", step); };
  const show = (place) => `${chunks[place]}`;
  const chunkBox = slider("keys in a chunk", { min: 0, max: chunks.length - 1, value: chunks.indexOf(chunk), show }, (place) => {
    chunk = chunks[place];
    stepInput.max = size / chunk;
    setStep(Math.min(step, size / chunk));
    update();
  });
  const kinds = Object.keys(cases).map((name) => {
    const button = make("button", { type: "button" }, name);
    button.addEventListener("click", () => { kind = name; update(); });
    button.addEventListener("keydown", (event) => event.stopPropagation());
    return button;
  });
  el.append(steps, chunkBox, make("div", { class: "kinds", role: "group", "aria-label": "scores" }, ...kinds));

  const label = (x, y, text, more = {}) => make("svg:text", { x, y, "font-size": 12, ...more }, text);
  const rect = (more = {}) => make("svg:rect", { stroke: "var(--soft)", "stroke-width": 0.6, ...more });
  const set = (node, attributes) => { for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value); };
  const width = (WIDE - LEFT) / size, y = (score) => BASE - ((score - FLOOR) / (TOP_SCORE - FLOOR)) * (BASE - 18);
  const keys = values.map((_, key) => {
    const x = LEFT + key * width;
    const bar = rect({ x: x + 3, width: width - 6 }), hit = make("svg:rect", { class: "hit", x, y: 14, width, height: BASE, fill: "transparent" });
    const name = label(x + width / 2, BASE + 14, `${key}`, { "text-anchor": "middle" });
    const group = make("svg:g", { class: "key", role: "button", tabindex: 0 }, bar, hit, name);
    const go = () => { setStep(Math.ceil((key + 1) / chunk)); update(); };
    group.addEventListener("click", go);
    group.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); go(); }
    });
    return { group, bar };
  });
  const line = (more) => make("svg:line", { stroke: "var(--ink)", "stroke-width": 2, ...more });
  const peakLine = line({}), oldLine = line({ "stroke-width": 1.5, "stroke-dasharray": "5 4" });
  const sums = values.map(() => [rect({ fill: "var(--visible)" }), rect({ fill: "var(--chosen)" })]);
  const ghost = rect({ fill: "none", stroke: "var(--ink)", "stroke-width": 1.4, "stroke-dasharray": "4 3" });
  const dots = values.map(() => make("svg:circle", { r: 3.5, fill: "var(--chosen)" }));
  const path = make("svg:polyline", { fill: "none", stroke: "var(--chosen)", "stroke-width": 1.5 });
  const end = line({ "stroke-width": 1, "stroke-dasharray": "5 4", x1: 275, x2: WIDE });
  const sumTitle = label(LEFT, HIGH - 20, ""), outTitle = label(275, HIGH - 20, ""), peakTitle = label(LEFT, 10, "");
  const picture = make("svg:svg", { viewBox: `0 0 ${WIDE} 330`, class: "tall", role: "group", "aria-label": "scores, running sum and running output" },
    peakTitle, ...keys.map((key) => key.group), oldLine, peakLine, sumTitle, ...sums.flat(), ghost,
    outTitle, end, path, ...dots, label(LEFT, 328, "step by step: kept, and added"), label(275, 328, "step by step; dashed: the end"),
    label(LEFT - 6, y(0) + 4, "0", { "text-anchor": "end" }), label(LEFT - 6, y(3) + 4, "3", { "text-anchor": "end" }));
  const spoken = sentence();
  el.append(picture, spoken);

  function update() {
    const scores = scoresOf(kind), states = walk(scores, values, chunk), last = states.length - 1;
    const now = states[step], old = states[Math.max(step - 1, 0)];
    kinds.forEach((button) => button.setAttribute("aria-pressed", button.textContent === kind));
    keys.forEach(({ group, bar }, key) => {
      const hidden = scores[key] === -Infinity, at = hidden ? y(FLOOR) - 4 : y(scores[key]);
      const fill = key < old.stop ? "--visible" : key < now.stop ? "--chosen" : "--hidden";
      set(bar, { y: at, height: BASE - at, fill: `var(${fill})`, "stroke-dasharray": hidden ? "2 2" : "none" });
      group.setAttribute("aria-label", `key ${key}, ${hidden ? "hidden" : `score ${scores[key]}`}`);
    });
    const across = (node, score, stop, seen) =>
      set(node, { x1: LEFT, x2: LEFT + stop * width, y1: y(seen ? score : 0), y2: y(seen ? score : 0), visibility: seen ? "visible" : "hidden" });
    across(peakLine, now.peak, now.stop, now.peak > -Infinity);
    across(oldLine, old.peak, old.stop, now.peak > old.peak && old.peak > -Infinity);
    const most = Math.max(...states.map((state) => state.total)), room = 200 / last;
    const tall = (total) => ((LOW - HIGH) * total) / most;
    sums.forEach(([kept, added], i) => {
      const shown = i < step ? "visible" : "hidden", state = states[Math.min(i + 1, last)], before = states[Math.min(i, last)];
      const rest = tall(before.total * state.rescale), x = LEFT + i * room + 2;
      set(kept, { x, width: Math.max(room - 4, 2), y: LOW - rest, height: rest, visibility: shown });
      set(added, { x, width: Math.max(room - 4, 2), y: LOW - tall(state.total), height: Math.max(tall(state.total) - rest, 0), visibility: shown });
    });
    const shrinks = step > 0 && now.rescale < 1;
    set(ghost, { x: LEFT + (step - 1) * room + 2, width: Math.max(room - 4, 2), y: LOW - tall(old.total), height: tall(old.total), visibility: shrinks ? "visible" : "hidden" });
    const high = (value) => LOW - ((value + 0.45) / 1.4) * (LOW - HIGH);
    const place = (i) => 275 + ((i + 0.5) * (WIDE - 275)) / last;
    dots.forEach((dot, i) => {
      const value = i < step ? out(states[i + 1]) : null;
      set(dot, { cx: place(i), cy: high(value ?? 0), visibility: value === null ? "hidden" : "visible" });
    });
    set(path, { points: states.slice(1, step + 1).map((state, i) => [i, out(state)]).filter(([, value]) => value !== null).map(([i, value]) => `${place(i)},${high(value)}`).join(" ") });
    set(end, { y1: high(out(states[last])), y2: high(out(states[last])) });
    peakTitle.textContent = `scores; running peak ${now.peak > -Infinity ? now.peak.toFixed(2) : "-inf"}`;
    sumTitle.textContent = `running sum ${now.total.toFixed(3)}`;
    outTitle.textContent = `running output ${now.total ? out(now).toFixed(3) : "none yet"}`;
    spoken.textContent = words(states, step, scores);
    const { peak, rescale, total, weighted } = now;
    publish(el, { settings: { step, chunk, case: kind }, numbers: { peak: peak > -Infinity ? peak : null, rescale, total, weighted, out: out(now) } });
  }
  update();
}

export default { render };
