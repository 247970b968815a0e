"use strict";
// Trade-offs: charts that altair described; vega draws them, without eval.
parts.tradeoffs = {
  title: "Trade-offs",
  has: () => data.charts.length,
  draw(main) {
    const grid = make("div", { class: "charts" });
    main.append(make("h2", {}, "Trade-offs"), grid);
    const style = getComputedStyle(document.documentElement);
    const [ink, line] = [style.getPropertyValue("--ink").trim(), style.getPropertyValue("--line").trim()];
    const config = {
      background: "transparent", text: { color: ink }, view: { stroke: line }, title: { color: ink },
      axis: { labelColor: ink, titleColor: ink, gridColor: line, domainColor: line, tickColor: line },
      legend: { labelColor: ink, titleColor: ink }, header: { labelColor: ink, titleColor: ink },
    };
    for (const chart of data.charts) {
      const place = make("div", { role: "img", "aria-label": shown(chart.about) });
      grid.append(make("section", {}, make("h3", {}, chart.title), make("p", { class: "quiet" }, chart.about), make("div", { class: "chart", tabindex: "0", role: "region", "aria-label": shown(chart.title) }, place)));
      vegaEmbed(place, chart.spec, { ast: true, actions: false, renderer: "svg", config })
        .catch((error) => place.append(make("p", {}, `cannot be drawn: ${error.message}`)));
    }
  },
};
