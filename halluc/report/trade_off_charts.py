"""Trade-offs as Vega-Lite charts: what a method pays for what it gains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from halluc.leaderboard.board import Board, Row

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
"""Okabe and Ito's, which colour-blind readers tell apart."""

NAMED = 60
"""With more points than these names would cover each other, and come with the pointer alone."""


class Chart(NamedTuple):
    """A chart as Vega-Lite takes it.

    Attributes:
        title: Its heading.
        about: A sentence for who does not see it.
        spec: The specification, data included.
    """

    title: str
    about: str
    spec: dict[str, Any]


def charts(board: Board) -> list[Chart]:
    """Describe the trade-offs that a board's metrics show."""
    found: list[Chart] = []
    benchmarks = dict.fromkeys(row.benchmark for row in board.rows)
    for benchmark in benchmarks:
        rows = [row for row in board.rows if row.benchmark == benchmark]
        found += _of_captions(benchmark, rows)
        found += _of_yes_no(benchmark, rows)
        found += _of_cost(benchmark, rows)
    return found


def _record(row: Row, *names: str) -> dict[str, Any] | None:
    values = {name: row.metrics[name] for name in names if name in row.metrics}
    if len(values) < len(names) or any(value.value is None for value in values.values()):
        return None
    return {
        "method": row.method,
        "model": row.model,
        "decoding": "sampling"
        if row.decoding["do_sample"]
        else f"{row.decoding['num_beams']} beam",
        "kind": "baseline" if row.baseline == row.key else "method",
        "passes": None if row.record else row.cost["forward_passes"] / row.cost["samples"],
        **{
            name.replace("/", " "): round((value.value or 0.0) * value.scale, 4)
            for name, value in values.items()
        },
    }


def _records(rows: Sequence[Row], *names: str) -> list[dict[str, Any]]:
    return [record for row in rows if (record := _record(row, *names)) is not None]


def _of_captions(benchmark: str, rows: Sequence[Row]) -> Iterator[Chart]:
    records = _records(rows, "chair_i", "recall", "length")
    if len(records) > 1:
        for other, better in (("recall", "up and left is better"), ("length", "left is better")):
            yield _points(
                f"{benchmark}: made-up objects against {other}",
                f"Each point is a run: CHAIR_i in percent and {other}; {better}.",
                records,
                "chair_i",
                other,
            )


def _of_yes_no(benchmark: str, rows: Sequence[Row]) -> Iterator[Chart]:
    splits = ("random", "popular", "adversarial")
    long = [
        {**record, "split": split, "accuracy": record[f"{split} accuracy"]}
        | {"yes ratio": record[f"{split} yes_ratio"]}
        for split in splits
        for record in _records(rows, f"{split}/accuracy", f"{split}/yes_ratio")
    ]
    if len(long) > 1:
        chart = _points(
            f"{benchmark}: accuracy against the share of yes",
            "Each point is a run, a panel a split; truth says yes to half of the questions.",
            long,
            "yes ratio",
            "accuracy",
            facet="split",
        )
        yield chart


def _of_cost(benchmark: str, rows: Sequence[Row]) -> Iterator[Chart]:
    first = rows[0]
    metric = next(
        (n for n, v in first.metrics.items() if v.headline and v.higher_is_better is not None), None
    )
    if metric is None:
        return
    records = [record for record in _records(rows, metric) if record["passes"] is not None]
    if len(records) > 1:
        name = metric.replace("/", " ")
        yield _points(
            f"{benchmark}: {name} against forward passes",
            f"Each point is a run: {name} and forward passes a sample.",
            records,
            "passes",
            name,
        )


def _points(
    title: str,
    about: str,
    records: list[dict[str, Any]],
    x: str,
    y: str,
    facet: str | None = None,
) -> Chart:
    """Draw a point a run: colour for the model, a filled shape for the baseline."""
    import altair as alt

    scale = alt.Scale(zero=False, padding=12)
    models = list(dict.fromkeys(record["model"] for record in records))
    inline: Any = alt.Data
    base = alt.Chart(inline(values=records))
    marks: alt.Chart = base.mark_point(filled=True, size=70, opacity=0.85).encode(
        x=alt.X(f"{x}:Q", scale=scale, title=x),
        y=alt.Y(f"{y}:Q", scale=scale, title=y),
        color=alt.Color(
            "model:N", scale=alt.Scale(domain=models, range=list(COLOURS)[: len(models)])
        ),
        shape=alt.Shape(
            "kind:N", scale=alt.Scale(domain=["method", "baseline"], range=["circle", "square"])
        ),
        tooltip=[alt.Tooltip(f"{name}:N") for name in ("method", "model", "decoding")]
        + [alt.Tooltip(f"{name}:Q") for name in (x, y)],
    )
    size = {"width": 150, "height": 200} if facet else {"width": 480, "height": 320}
    marks = marks.properties(**size)
    names = (
        base.mark_text(align="left", dx=7, fontSize=9)
        .encode(
            x=alt.X(f"{x}:Q", scale=scale), y=alt.Y(f"{y}:Q", scale=scale), text="method:N",
        )
    )  # fmt: skip
    layered = alt.layer(marks, names) if len(records) <= NAMED else alt.layer(marks)
    panels = alt.Facet(f"{facet}:N", title=None, sort=["random", "popular", "adversarial"])
    drawn = layered.facet(facet=panels, columns=3) if facet else layered
    spec = drawn.to_dict()
    spec.pop("$schema", None)
    return Chart(title, about, spec)
