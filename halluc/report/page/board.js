"use strict";
// The board: a table a benchmark, a line a run, with intervals drawn.
const unique = (values) => [...new Set(values)];

function rangeOf(metric, span) {
  // A line from low to high and a dot; the thin line is the baseline, where differences are drawn.
  const [width, height] = [120, 12];
  const at = (x) => (width * (x - span.low)) / (span.high - span.low || 1);
  const NS = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(NS, "svg");
  for (const [key, value] of Object.entries({ width, height, class: "range", "aria-hidden": "true" })) svg.setAttribute(key, value);
  const line = (x1, x2, wide, colour, y1 = height / 2, y2 = height / 2) => {
    const one = document.createElementNS(NS, "line");
    for (const [key, value] of Object.entries({ x1, x2, y1, y2, stroke: colour, "stroke-width": wide })) one.setAttribute(key, value);
    svg.append(one);
  };
  if (span.zero) line(at(0), at(0), 1, "var(--quiet)", 0, height);
  const colour = metric.decided === true ? "var(--better)" : metric.decided === false ? "var(--worse)" : "var(--quiet)";
  const drawn = metric.difference || metric;
  if (drawn.low !== null && drawn.high !== null) line(at(drawn.low), at(drawn.high), 2, colour);
  const dot = document.createElementNS(NS, "circle");
  for (const [key, value] of Object.entries({ cx: at(drawn.value), cy: height / 2, r: 3.5, fill: colour })) dot.setAttribute(key, value);
  svg.append(dot);
  return svg;
}

function spanOf(rows, name) {
  const drawn = rows.map((row) => row.metrics[name]).filter((m) => m && m.value !== null);
  const gaps = drawn.filter((m) => m.difference).map((m) => m.difference);
  const zero = gaps.length > 0;
  const ends = (zero ? gaps : drawn).flatMap((one) => [one.low ?? one.value, one.high ?? one.value]);
  return { low: Math.min(...ends, zero ? 0 : Infinity), high: Math.max(...ends, zero ? 0 : -Infinity), zero };
}

function cellOf(row, name, span) {
  const metric = row.metrics[name];
  if (!metric || metric.value === null) return make("td", {}, "-");
  const interval = metric.low === null ? "" : ` [${number(metric.low)}, ${number(metric.high)}]`;
  const cell = make("td", {}, number(metric.value), make("span", { class: "quiet" }, interval));
  if (metric.tie !== null) cell.append(make("sup", { title: "tie group" }, metric.tie));
  if (metric.difference && !row.baseline) {
    const kind = metric.decided === true ? "better" : metric.decided === false ? "worse" : "quiet";
    const gap = metric.difference;
    const said = metric.decided === true ? " better" : metric.decided === false ? " worse" : "";
    cell.append(make("span", { class: `gap ${kind}` }, `${signed(gap.value)} [${signed(gap.low)}, ${signed(gap.high)}]${said}`));
    if (metric.equal) cell.append(make("span", { class: "gap quiet" }, `equal length ${signed(metric.equal.value)}`));
    cell.append(rangeOf(metric, span));
  }
  return cell;
}

function pins(row) { return row.baseline ? 0 : row.control ? 1 : 2; }

parts.board = {
  title: "Board",
  has: () => data.board.length,
  draw(main, query) {
    const benchmarks = unique(data.board.map((row) => row.benchmark));
    const benchmark = benchmarks.includes(query.get("benchmark")) ? query.get("benchmark") : benchmarks[0];
    const of = data.board.filter((row) => row.benchmark === benchmark);
    const any = [["", "all"]];
    const list = (values) => any.concat(unique(values).map((value) => [value, value]));
    const filters = make("div", { class: "filters" },
      choice("Benchmark", "benchmark", benchmarks.map((b) => [b, b]), benchmark, (b) => change({ benchmark: b, sort: "" })),
      choice("Model", "model", list(of.map((r) => r.model)), query.get("model") || "", (model) => change({ model })),
      choice("Decoding", "decoding", list(of.map((r) => r.decoding)), query.get("decoding") || "", (decoding) => change({ decoding })),
      make("label", {}, "Method", make("input", { type: "search", name: "method", value: query.get("method") || "", placeholder: "part of a name",
        oninput: (event) => { change({ method: event.target.value }, true); table.replaceWith((table = this.table(benchmark, read().query))); } })));
    let table = this.table(benchmark, query);
    main.append(make("h2", {}, "Board"), filters, table, make("p", { class: "quiet" }, data.legend));
  },
  table(benchmark, query) {
    const wanted = (row) => row.benchmark === benchmark
      && (!query.get("model") || row.model === query.get("model"))
      && (!query.get("decoding") || row.decoding === query.get("decoding"))
      && row.label.toLowerCase().includes((query.get("method") || "").toLowerCase());
    const rows = data.board.filter(wanted);
    const names = unique(rows.flatMap((row) => Object.keys(row.metrics).filter((name) => row.metrics[name].headline)));
    const [sort, direction] = (query.get("sort") || "").split("~");
    const value = (row) => sort === "method" ? row.label : sort === "model" ? row.model : sort === "passes" ? row.passes : sort === "ms" ? row.ms : row.metrics[sort]?.value;
    if (sort) {
      const sign = direction === "down" ? -1 : 1;
      rows.sort((a, b) => pins(a) - pins(b) || sign * compare(value(a), value(b)));
    } else rows.sort((a, b) => compare(a.model, b.model) || compare(a.setting, b.setting) || pins(a) - pins(b) || compare(a.label, b.label));
    const spans = Object.fromEntries(names.map((name) => [name, spanOf(rows, name)]));
    const head = (key, text) => {
      const state = sort === key ? (direction === "down" ? "descending" : "ascending") : "none";
      const mark = state === "none" ? "" : state === "descending" ? " ▾" : " ▴";
      return make("th", { scope: "col", "aria-sort": state },
        make("button", { type: "button", onclick: () => change({ sort: `${key}~${state === "descending" ? "up" : "down"}` }) }, text + mark));
    };
    const arrow = (name) => {
      const metric = rows.find((row) => row.metrics[name])?.metrics[name];
      return name + (metric?.better === true ? " ↑" : metric?.better === false ? " ↓" : "");
    };
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Board" }, make("table", {},
      make("caption", { class: "quiet" }, `${rows.length} rows of ${benchmark}`),
      make("thead", {}, make("tr", {}, head("method", "method"), head("model", "model"), make("th", { scope: "col" }, "decoding"),
        names.map((name) => head(name, arrow(name))), head("passes", "passes a sample"), head("ms", "ms a sample"), make("th", { scope: "col" }, "failed / unparseable / withheld"))),
      make("tbody", {}, rows.map((row) => make("tr", { class: pins(row) < 2 ? "pinned" : "" },
        make("th", { scope: "row" }, row.label, row.baseline ? make("span", { class: "tag" }, "baseline") : row.control ? make("span", { class: "tag" }, "control") : null,
          row.recorded ? make("span", { class: "tag", title: shown(row.recorded.source) }, "recorded") : null),
        make("td", {}, row.model), make("td", {}, row.decoding),
        names.map((name) => cellOf(row, name, spans[name])),
        make("td", {}, number(row.passes)), make("td", {}, number(row.ms)),
        make("td", {}, `${row.failed} / ${row.unparseable} / ${row.withheld}`))))));
  },
};

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return 1;
  if (b === null || b === undefined) return -1;
  return a < b ? -1 : 1;
}
