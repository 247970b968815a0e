"""Sweeps as charts: a line for one parameter, a heat map for two."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from halluc.errors import UserError
from halluc.report.trade_off_charts import Chart

BASELINE_COLOUR, LINE_COLOUR = "#777777", "#0072B2"


def sweep_charts(places: Sequence[Path]) -> list[Chart]:
    """Draw every finished sweep below some places that has one or two parameters.

    Raises:
        UserError: If a sweep.json is broken.
    """
    files = {file.resolve() for place in places for file in place.glob("**/sweep.json")}
    found = []
    for file in sorted(files):
        try:
            chart = _chart(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file}: is not a finished sweep; remove it") from error
        if chart is not None:
            found.append(chart)
    return found


def _chart(sweep: dict[str, Any]) -> Chart | None:
    config, goal = sweep["config"], sweep["objective"]
    axes = list(config["sweep"])
    records = [_record(point, goal) for point in sweep["tuning"]["points"]]
    if not records or len(axes) not in (1, 2):
        return None
    arrow = "higher" if sweep["higher_is_better"] else "lower"
    title = f"{config['method']} on {config['model']}: {goal} by {' and '.join(axes)}"
    base = sweep["tuning"]["baseline"]["values"][goal]["value"]
    about = (
        f"Images that parameters are tuned on; {arrow} is better. The baseline is at {base:.4g}. "
        + " ".join(sweep["notes"])
    )
    draw = _line if len(axes) == 1 else _map
    return Chart(title, about, draw(records, axes, goal, base))


def _record(point: dict[str, Any], goal: str) -> dict[str, Any]:
    value = point["values"][goal]
    settings = {
        name: setting if isinstance(setting, int | float) and not isinstance(setting, bool)
        else json.dumps(setting) if not isinstance(setting, str) else setting
        for name, setting in point["point"].items()
    }  # fmt: skip
    return {**settings, "value": value["value"], "low": value["low"], "high": value["high"]} | {
        "best": bool(point["best"])
    }


def _line(records: list[dict[str, Any]], axes: list[str], goal: str, base: float) -> dict[str, Any]:
    import altair as alt

    data: Any = alt.Data
    kind = "Q" if all(isinstance(record[axes[0]], int | float) for record in records) else "N"
    x = alt.X(f"{_field(axes[0])}:{kind}", title=axes[0])
    points = alt.Chart(data(values=records))
    scale = alt.Scale(zero=False)
    bars = points.mark_rule(color=LINE_COLOUR).encode(
        x=x, y=alt.Y("low:Q", scale=scale, title=goal), y2="high:Q"
    )
    dots = points.mark_point(filled=True, size=80, color=LINE_COLOUR).encode(
        x=x,
        y="value:Q",
        shape=alt.Shape(
            "best:N",
            legend=None,
            scale=alt.Scale(domain=[False, True], range=["circle", "diamond"]),
        ),
        tooltip=[
            alt.Tooltip(f"{_field(axes[0])}:N"),
            alt.Tooltip("value:Q"),
            alt.Tooltip("best:N"),
        ],
    )
    path = points.mark_line(color=LINE_COLOUR, opacity=0.5).encode(x=x, y="value:Q")
    rule = (
        alt.Chart(data(values=[{"base": base}]))
        .mark_rule(color=BASELINE_COLOUR, strokeDash=[4, 4])
        .encode(y="base:Q")
    )
    return _spec(alt.layer(rule, path, bars, dots).properties(width=480, height=300))


def _map(records: list[dict[str, Any]], axes: list[str], goal: str, base: float) -> dict[str, Any]:
    import altair as alt

    data: Any = alt.Data
    cells = alt.Chart(data(values=records)).encode(
        x=alt.X(f"{_field(axes[0])}:O", title=axes[0]),
        y=alt.Y(f"{_field(axes[1])}:O", title=axes[1], sort="descending"),
        tooltip=[alt.Tooltip(f"{_field(name)}:N") for name in axes] + [alt.Tooltip("value:Q")],
    )
    colours = cells.mark_rect().encode(
        color=alt.Color("value:Q", title=goal, scale=alt.Scale(scheme="cividis"))
    )
    outline = cells.mark_rect(fillOpacity=0, stroke="#D55E00", strokeWidth=3).transform_filter(
        "datum.best"
    )
    return _spec(alt.layer(colours, outline).properties(width=420, height=300))


def _field(name: str) -> str:
    """Escape what Vega-Lite would take for a path into a record."""
    return name.replace("\\", "\\\\").replace(".", "\\.").replace("[", "\\[").replace(":", "\\:")


def _spec(chart: Any) -> dict[str, Any]:
    spec: dict[str, Any] = chart.to_dict()
    spec.pop("$schema", None)
    return spec
