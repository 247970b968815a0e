"use strict";
parts.about = {
  title: "About",
  draw(main) {
    main.append(make("h2", {}, "About this page"), make("dl", {}, Object.entries(data.about).map(([key, value]) => [make("dt", {}, key), make("dd", {}, value)])));
    const notes = data.board.filter((row) => row.notes.length || row.recorded?.caution);
    if (notes.length) main.append(make("h3", {}, "Notes"), make("ul", {}, notes.map((row) => make("li", {}, `${row.benchmark}, ${row.label}, ${row.model}: ${[...row.notes, row.recorded?.caution || ""].filter(Boolean).join(" ")}`))));
  },
};
start();
