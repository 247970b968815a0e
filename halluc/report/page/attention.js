"use strict";
// Attention: what each word of a traced answer looked at, before and after the method.
let traceLines = null;
const unpackedLines = new Map();

function traceLine(n) {
  traceLines ||= document.getElementById("traces").textContent.split("\n");
  if (!unpackedLines.has(n)) unpackedLines.set(n, unpack(traceLines[n]));
  return unpackedLines.get(n);
}

async function pictureOf(trace) {
  if (trace.picture === null) return null;
  const picture = new Image();
  picture.src = `data:image/webp;base64,${await traceLine(trace.picture)}`;
  try { await picture.decode(); return picture; } catch { return null; }
}

const tracesOf = (set, sample) => data.traces.index.filter((one) => one.set === set && one.sample === sample);

// Which words are made up: the scorer's marks on the same text.
function marksOf(view, answer) {
  if (!answer || !answer.marks) return [];
  let place = 0;
  return view.words.map((word) => {
    const start = answer.text.indexOf(word, place);
    if (start < 0) return null;
    place = start + word.length;
    const mark = answer.marks.find(([from, to]) => from < place && start < to);
    return mark ? (mark[2] ? "there" : "made-up") : null;
  });
}

// A section that shows one of some traces; `answers` gives the scored answer of a run, for its marks.
function attentionBox(traces, answerOf = () => null) {
  const body = make("div", {}), box = make("section", { class: "attention", "aria-label": "Attention", "aria-live": "off" }, make("h3", {}, "Attention"), body);
  drawAttention(body, traces, answerOf).catch((error) => body.replaceChildren(make("p", {}, `cannot be shown: ${error.message}`)));
  return box;
}

async function drawAttention(body, traces, answerOf) {
  const { query } = read();
  const trace = traces.find((one) => one.run === query.get("trace")) || traces.find((one) => one.run === query.get("by")) || traces.find((one) => one.views.method !== null) || traces[0];
  const names = trace.views.own === null || query.get("answer") !== "own" ? ["baseline", "method"].filter((name) => trace.views[name] !== null) : ["own"];
  const views = (await Promise.all(names.map((name) => traceLine(trace.views[name])))).map(opened);
  const picture = await pictureOf(trace), first = views[0];
  const whole = (key, count) => { const value = parseInt(query.get(key), 10); return value >= 0 && value < count ? value : null; };
  const set = (values) => { change(values, true); drawAttention(body, traces, answerOf).then(() => { if (values.word !== undefined) body.querySelector(".words [aria-pressed=true]")?.focus(); }); };
  const marks = marksOf(first, answerOf(names[0] === "own" ? trace.run : null));
  const fallback = Math.max(0, marks.indexOf("made-up"));
  const word = whole("word", first.words.length) ?? Math.min(fallback, first.words.length - 1);
  const layer = first.layers > 1 ? whole("layer", first.layers) : null, head = first.heads > 1 ? whole("head", first.heads) : null;
  const alone = query.get("heat") === "alone";
  const list = (name, values, chosen) => choice(name === "layer" ? "Layer" : "Head", name, [["", `mean of ${values.length}`], ...values.map((v, i) => [String(i), String(v)])], chosen === null ? "" : String(chosen), (value) => set({ [name]: value }));
  const controls = make("div", { class: "filters" },
    traces.length > 1 ? choice("Method", "trace", traces.map((one) => [one.run, one.method === "baseline" ? "baseline alone" : one.method]), trace.run, (run) => set({ trace: run, word: "" })) : null,
    trace.views.own !== null ? choice("Answer", "answer", [["", "the baseline's, fed to both"], ["own", `${trace.method}'s own`]], names[0] === "own" ? "own" : "", (answer) => set({ answer, word: "" })) : null,
    first.layers > 1 ? list("layer", trace.layers.slice(0, first.layers), layer) : null,
    first.heads > 1 ? list("head", Array.from({ length: first.heads }, (_, i) => i), head) : null,
    picture ? choice("Heat", "heat", [["", "over the image"], ["alone", "alone"]], alone ? "alone" : "", (heat) => set({ heat })) : null);
  const words = make("div", { class: "words", role: "group", "aria-label": "Words of the answer", onkeydown: (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by) { event.preventDefault(); set({ word: Math.min(first.words.length - 1, Math.max(0, word + by)) }); }
  } }, first.words.map((text, i) => make("button", { type: "button", class: marks[i] || "", title: marks[i] === "made-up" ? "made up" : marks[i] === "there" ? "there" : null, "aria-pressed": i === word ? "true" : "false", onclick: () => set({ word: i }) }, text)));
  const of = views.map((view) => mapsOf(view, word, layer, head));
  const parts = [make("p", { class: "quiet" }, make("bdi", {}, trace.model), ": ", make("bdi", {}, trace.prompt)), controls, words];
  if (first.words.length) parts.push(panels(trace, views, of, picture, word, layer, alone), tables(views, of, trace, word));
  body.replaceChildren(...parts);
  const pressed = words.querySelector("[aria-pressed=true]");
  if (pressed) words.scrollTop = pressed.offsetTop - words.offsetTop - words.clientHeight / 2;
}

function panels(trace, views, of, picture, word, layer, alone) {
  const box = make("div", { class: "panels" });
  const maps = views.map((view, i) => view.boxes && of[i].length ? density(view, weightsOf(view, of[i]), trace.size) : null);
  const high = Math.max(1e-9, ...maps.filter(Boolean).map(most));
  const figure = (name, label, map, colour, ends, marks) => {
    if (!map) return make("figure", {}, make("p", { class: "quiet" }, "image tokens without a place, or a layer out of reach"), make("figcaption", {}, name));
    const canvas = make("canvas", { role: "img", "aria-label": shown(label) });
    paint(canvas, map, colour, alone || !marks ? null : picture);
    if (marks) outline(canvas, marks, trace.layers, trace.size, layer);
    const stops = [0, 0.25, 0.5, 0.75, 1].map((part) => `rgb(${colour(ends[0] + part * (ends[1] - ends[0])).map(Math.round).join(",")})`).join(",");
    const bar = make("span", { class: "bar", "aria-hidden": "true" });
    bar.style.background = `linear-gradient(to right, ${stops})`;
    return make("figure", {}, canvas, make("div", { class: "scale" }, number(ends[0]), bar, number(ends[1])), make("figcaption", {}, make("bdi", {}, name)));
  };
  if (picture) box.append(make("figure", {}, make("img", { src: picture.src, alt: "the image" }), make("figcaption", {}, "image")));
  views.forEach((view, i) => box.append(figure(view.method, `heat of ${view.method} for the word ${view.words[word]}, at most ${number(maps[i] ? most(maps[i]) : null)} times even`, maps[i], (value) => cividis(value / high), [0, high], view)));
  if (maps.length === 2 && maps[0] && maps[1]) {
    const gap = { ...maps[0], values: maps[0].values.map((value, i) => maps[1].values[i] - value) };
    const reach = Math.max(high / 50, gap.values.reduce((far, value) => Math.abs(value) > far ? Math.abs(value) : far, 0));
    box.append(figure(`${views[1].method} - ${views[0].method}`, "difference of the two", gap, (value) => Array(3).fill(127.5 + 127.5 * value / reach), [-reach, reach], null));
  }
  return box;
}

const KIND_NAMES = { image: "image", prompt: "other prompt", generated: "answer so far", first: "first token", sinks: "other sinks" };

function tables(views, of, trace, word) {
  const shares = views.map((view, i) => sharesOf(view, of[i]));
  const percent = (part) => part === null ? "-" : `${number(100 * part, 1)} %`;
  const bar = (part) => { const one = make("span", { class: "share", "aria-hidden": "true" }); one.style.width = `${Math.round(100 * (part || 0))}%`; return one; };
  const heads = views.map((view) => make("th", { scope: "col" }, make("bdi", {}, view.method)));
  const rows = KINDS.map((kind, k) => make("tr", {}, make("th", { scope: "row" }, KIND_NAMES[kind]), shares.map((one) => make("td", {}, percent(one[k]), make("div", { class: "track" }, bar(one[k]))))));
  const found = [make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Shares of attention" }, make("table", { class: "shares" }, make("caption", { class: "quiet" }, "Shares of attention"), make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "keys"), heads)), make("tbody", {}, rows)))];
  const lens = views.filter((view) => view.chance.length);
  if (lens.length) {
    const depth = Math.max(...lens.map((view) => view.chance[word].length));
    const name = (i) => i === depth - 1 ? "chosen from" : i === depth - 2 ? "output" : `into layer ${i}`;
    const lines = Array.from({ length: depth }, (_, i) => make("tr", {}, make("th", { scope: "row" }, name(i)), lens.map((view) => [make("td", {}, percent(view.chance[word][i] ?? null)), make("td", {}, String(view.rank[word]?.[i] ?? "-"))])));
    found.push(make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Logit lens" }, make("table", { class: "lens" }, make("caption", { class: "quiet" }, "Logit lens of the word's first token"),
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "hidden state"), lens.map((view) => [make("th", { scope: "col" }, make("bdi", {}, view.method)), make("th", { scope: "col" }, "rank")]))), make("tbody", {}, lines))));
  }
  return make("div", {}, make("p", { class: "quiet" }, "Heat: 1 where all of a row's attention would lie evenly over the image. Outlined: sinks."), make("div", { class: "tables" }, found));
}

parts.attention = {
  title: "Attention",
  has: () => data.traces.index.length,
  draw(main, query) {
    const keys = data.traces.index.map((one) => one.set ? `${one.set} ${one.sample}` : ` ${one.run}`);
    const wanted = keys.includes(query.get("of")) ? query.get("of") : keys[0];
    const traces = data.traces.index.filter((_, i) => keys[i] === wanted), first = traces[0];
    const benchmark = (one) => data.samples.find((set) => set.key === one.set)?.benchmark;
    const label = (one) => one.set ? `${benchmark(one)} ${one.sample}` : `${one.run}: ${one.prompt}`;
    const options = [...new Map(keys.map((key, i) => [key, label(data.traces.index[i])]))];
    main.append(make("h2", {}, "Attention"), make("div", { class: "filters" }, choice("Traced answers", "of", options, wanted, (of) => change({ of, word: "", trace: "", answer: "" }))));
    const notes = [data.traces.averaged && `For want of room, ${data.traces.averaged} are averaged.`, data.traces.left_out && `${data.traces.left_out} traces are left out.`].filter(Boolean);
    if (notes.length) main.append(make("p", { class: "quiet" }, notes.join(" ")));
    if (first.set) main.append(make("p", {}, make("a", { href: address("samples", { set: first.set, sample: first.sample }) }, "The sample with all answers")));
    main.append(attentionBox(traces, answersOf(first.set, first.sample)));
  },
};

// The scored answer of a run to a sample; of the baseline where no run is named.
function answersOf(set, sample) {
  return (run) => {
    const of = data.samples.find((one) => one.key === set), place = of ? of.samples.findIndex((one) => one.id === sample) : -1;
    const named = of?.runs.find((one) => run === null ? isBaseline(one.run) : one.run === run);
    return (place >= 0 && named?.answers[place]) || null;
  };
}
