"use strict";
// Heads: a map of what each head does, linked to the traced samples of the same model.
parts.heads = {
  title: "Heads",
  has: () => data.heads.length,
  draw(main, query) {
    const names = data.heads.map((one) => `${one.model} ${one.weights}`);
    const map = data.heads[Math.max(0, names.indexOf(query.get("model")))];
    const quantity = map.quantities.find((one) => one.name === query.get("show")) || map.quantities[0];
    const place = (name, count) => { const value = parseInt(query.get(name), 10); return value >= 0 && value < count ? value : null; };
    const layer = place("layer", map.layers), head = place("head", map.heads);
    main.append(make("h2", {}, "Heads"), make("div", { class: "filters" },
      choice("Model", "model", names.map((name, i) => [name, data.heads[i].model]), `${map.model} ${map.weights}`, (model) => change({ model, layer: "", head: "" })),
      choice("Shown", "show", map.quantities.map((one) => [one.name, one.title]), quantity.name, (show) => change({ show }))),
      make("p", { class: "quiet" }, `Measured on ${map.scenes} drawn scenes. ${map.because}`));
    const known = quantity.values.filter(Boolean).map((one) => one[0]);
    const low = Math.min(...known), high = Math.max(...known);
    const cell = (l, h) => {
      const value = quantity.values[l * map.heads + h];
      if (!value) return make("td", {}, "-");
      const part = (value[0] - low) / (high - low || 1), rgb = cividis(part).map(Math.round);
      const button = make("button", { type: "button", "aria-pressed": l === layer && h === head ? "true" : "false", "aria-label": `layer ${l}, head ${h}: ${number(value[0])}`, onclick: () => { change({ layer: l, head: h }); document.querySelector("table.heads [aria-pressed=true]")?.focus(); } }, number(value[0]));
      button.style.background = `rgb(${rgb.join(",")})`;
      button.style.color = part < 0.45 ? "#ffffff" : "#000000";
      return make("td", {}, button);
    };
    const range = (count) => Array.from({ length: count }, (_, i) => i);
    main.append(make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Map of heads" }, make("table", { class: "heads" },
      make("caption", { class: "quiet" }, `${quantity.title}; rows are layers, columns heads`),
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "layer"), range(map.heads).map((h) => make("th", { scope: "col" }, String(h))))),
      make("tbody", {}, range(map.layers).map((l) => make("tr", {}, make("th", { scope: "row" }, String(l)), range(map.heads).map((h) => cell(l, h))))))));
    if (layer === null || head === null) { main.append(make("p", { class: "quiet" }, "Choose a head to see all that was measured of it, and what it looks at in traced answers.")); return; }
    main.append(make("h3", {}, `Head ${head} of layer ${layer}`), make("dl", {}, map.quantities.map((one) => {
      const value = one.values[layer * map.heads + head];
      return [make("dt", {}, one.title), make("dd", {}, value ? `${number(value[0])} [${number(value[1])}, ${number(value[2])}]` : "-")];
    })));
    const links = new Map(data.traces.index.filter((one) => one.model === map.model).map((one) => [`${one.set} ${one.sample || one.run}`, one]));
    const link = (one) => {
      const at = () => ({ layer: Math.max(0, one.layers.indexOf(layer)), head });
      return one.set ? address("samples", { set: one.set, sample: one.sample, ...at() }) : address("attention", { of: ` ${one.run}`, ...at() });
    };
    if (links.size) main.append(make("h3", {}, "What it looks at"), make("ul", {}, [...links.values()].map((one) => make("li", {}, make("a", { href: link(one) }, one.sample || one.run), " ", make("bdi", { class: "quiet" }, one.prompt)))));
    else main.append(make("p", { class: "quiet" }, "No answer of this model is traced; 'halluc eval --trace 20' traces some."));
  },
};
