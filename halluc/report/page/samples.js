"use strict";
// Samples: a list of any length, of which only what is seen exists, and one sample in full.
const ROW = 56;
const LONG = 2000;
const FILTERS = [["", "all"], ["mended", "mended by"], ["broken", "broken by"], ["differ", "right in some, wrong in others"], ["wrong", "wrong in"], ["unparseable", "unparseable in"]];

function marked(answer) {
  const text = answer.text.length > LONG && !answer.whole ? answer.text.slice(0, LONG) : answer.text;
  const pieces = [];
  let place = 0;
  for (const [start, end, right] of [...(answer.marks || [])].sort((a, b) => a[0] - b[0])) {
    if (start < place || end > text.length) continue;
    pieces.push(text.slice(place, start), make("mark", { class: right ? "there" : "made-up", title: right ? "there" : "made up" }, text.slice(start, end)));
    place = end;
  }
  pieces.push(text.slice(place));
  return make("p", {}, make("bdi", {}, pieces));
}

function answerBox(name, answer) {
  if (!answer) return make("section", { class: "answer" }, make("h3", {}, name), make("p", { class: "quiet" }, "no answer: it failed or was withheld"));
  const state = answer.right === true ? "right" : answer.right === false ? "wrong" : "";
  const box = make("section", { class: `answer ${state}` }, make("h3", {}, name, state ? make("span", { class: "tag" }, state) : null, answer.unparseable ? make("span", { class: "tag" }, "unparseable") : null), marked(answer));
  if (answer.text.length > LONG && !answer.whole) {
    box.append(make("button", { type: "button", onclick: () => { answer.whole = true; box.replaceWith(answerBox(name, answer)); } }, `all ${answer.text.length} characters`));
  }
  if (answer.missed) box.append(make("p", { class: "missed" }, `not named: ${answer.missed.join(", ")}`));
  return box;
}

const rowOf = (run) => data.board.find((row) => row.run === run);
const nameOf = (run) => { const row = rowOf(run); return row ? `${row.label}, ${row.model}, ${row.decoding}` : run; };
const isBaseline = (run) => rowOf(run)?.baseline;

parts.samples = {
  title: "Samples",
  has: () => data.samples.length,
  keys: { j: () => parts.samples.step(1), k: () => parts.samples.step(-1), ArrowDown: () => parts.samples.step(1), ArrowUp: () => parts.samples.step(-1), "/": () => document.querySelector("#search").focus() },
  draw(main, query) {
    const set = data.samples.find((one) => one.key === query.get("set")) || data.samples[0];
    this.set = set;
    const runs = set.runs.map((one) => one.run);
    const given = (query.get("runs") || "").split(",").filter((run) => runs.includes(run));
    this.chosen = given.length ? given : runs.filter((run) => isBaseline(run)).slice(0, 1).concat(runs.filter((run) => !isBaseline(run))).slice(0, 4);
    const by = runs.includes(query.get("by")) ? query.get("by") : this.chosen.find((run) => !isBaseline(run)) || runs[0];
    const box = make("fieldset", {}, make("legend", {}, "Answers of"), runs.map((run) => make("label", {},
      make("input", { type: "checkbox", checked: this.chosen.includes(run), onchange: (event) => change({ runs: runs.filter((one) => one === run ? event.target.checked : this.chosen.includes(one)).join(",") }) }), nameOf(run))));
    main.append(make("h2", {}, "Samples"), make("div", { class: "filters" },
      choice("Benchmark", "set", data.samples.map((one) => [one.key, `${one.benchmark} (${one.protocol}), ${one.asked} samples`]), set.key, (key) => change({ set: key, sample: "", runs: "", by: "" })),
      choice("Show", "filter", FILTERS, query.get("filter") || "", (filter) => change({ filter, sample: "" })),
      choice("by", "by", runs.map((run) => [run, nameOf(run)]), by, (run) => change({ by: run, sample: "" })),
      make("label", {}, "Search", make("input", { id: "search", type: "search", value: query.get("search") || "", placeholder: "prompt, answer or id",
        oninput: (event) => { change({ search: event.target.value, sample: "" }, true); this.fill(by, read().query); } }))),
    make("details", { class: "filters" }, make("summary", {}, `Answers of ${this.chosen.length} of ${runs.length} runs`), box),
    make("p", { class: "quiet" }, make("span", { id: "count", role: "status" }), make("span", { class: "hint" }, " ", make("kbd", {}, "j"), " and ", make("kbd", {}, "k"), " step, ", make("kbd", {}, "/"), " searches."), " Marked: made up; blue: there."),
    make("div", { class: "samples" }, make("div", { class: "list", id: "list", role: "listbox", tabindex: "0", "aria-label": "Samples", onscroll: () => this.window() }, make("div", { class: "room" })), make("div", { class: "sample", id: "sample", "aria-live": "polite" })));
    this.fill(by, query);
  },
  fill(by, query) {
    const set = this.set, filter = query.get("filter") || "", search = (query.get("search") || "").toLowerCase();
    const method = set.runs.find((one) => one.run === by), base = this.baseOf(method);
    const kept = {
      "": () => true,
      mended: (i) => base && method.answers[i]?.right === true && base.answers[i]?.right === false,
      broken: (i) => base && method.answers[i]?.right === false && base.answers[i]?.right === true,
      differ: (i) => new Set(set.runs.map((one) => one.answers[i]?.right).filter((r) => r === true || r === false)).size > 1,
      wrong: (i) => method.answers[i]?.right === false,
      unparseable: (i) => method.answers[i]?.unparseable,
    }[filter] || (() => true);
    const has = (i) => !search || [set.samples[i].id, set.samples[i].prompt, ...set.runs.map((one) => one.answers[i]?.text || "")].some((text) => text.toLowerCase().includes(search));
    this.found = set.samples.map((_, i) => i).filter((i) => kept(i) && has(i));
    document.getElementById("count").textContent = `${this.found.length} of ${set.samples.length} samples.`;
    const wanted = set.samples.findIndex((sample) => sample.id === query.get("sample"));
    this.select(Math.max(0, this.found.indexOf(wanted)), true);
  },
  baseOf(method) {
    const row = data.board.find((one) => one.run === method.run && one.benchmark === this.set.benchmark);
    const base = data.board.find((one) => row && one.baseline && one.setting === row.setting);
    return base && this.set.runs.find((one) => one.run === base.run);
  },
  step(by) { this.select(Math.min(this.found.length - 1, Math.max(0, this.place + by))); },
  select(place, quiet = false) {
    this.place = place;
    const list = document.getElementById("list"), room = list.firstChild;
    room.style.height = `${this.found.length * ROW}px`;
    if (place * ROW < list.scrollTop || (place + 1) * ROW > list.scrollTop + list.clientHeight) list.scrollTop = place * ROW - list.clientHeight / 2;
    this.window();
    const panel = document.getElementById("sample");
    panel.replaceChildren();
    const index = this.found[place];
    if (index === undefined) { panel.append(make("p", { class: "quiet" }, "No sample is like that.")); return; }
    const sample = this.set.samples[index];
    if (!quiet) change({ sample: sample.id, word: "", answer: "" }, true);
    const picture = data.pictures[sample.image];
    panel.append(make("h3", {}, sample.id), make("div", { class: "about" }, picture ? make("img", { class: "large", src: picture, alt: `image of sample ${shown(sample.id)}` }) : make("p", { class: "quiet" }, `image ${sample.image}`),
      make("dl", {}, make("dt", {}, "prompt"), make("dd", {}, make("bdi", {}, sample.prompt)), sample.target === null ? [] : [make("dt", {}, "truth"), make("dd", {}, make("bdi", {}, sample.target))], make("dt", {}, "group"), make("dd", {}, sample.group))),
      make("div", { class: "answers" }, this.set.runs.filter((one) => this.chosen.includes(one.run)).map((one) => answerBox(nameOf(one.run), one.answers[index]))));
    const traces = tracesOf(this.set.key, sample.id);
    if (traces.length) panel.append(attentionBox(traces, answersOf(this.set.key, sample.id)));
  },
  window() {
    const list = document.getElementById("list"), room = list.firstChild;
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4), last = Math.min(this.found.length, first + Math.ceil(list.clientHeight / ROW) + 8);
    const items = [];
    for (let place = first; place < last; place++) {
      const sample = this.set.samples[this.found[place]], picture = data.pictures[sample.image];
      const item = make("div", { class: "item", id: `item${place}`, role: "option", "aria-selected": place === this.place ? "true" : "false", "aria-setsize": this.found.length, "aria-posinset": place + 1, onclick: () => this.select(place) },
        picture ? make("img", { src: picture, alt: "", loading: "lazy" }) : null, make("span", {}, `${sample.id}: ${sample.prompt}`));
      item.style.top = `${place * ROW}px`;
      items.push(item);
    }
    room.replaceChildren(...items);
    list.setAttribute("aria-activedescendant", `item${this.place}`);
  },
};
