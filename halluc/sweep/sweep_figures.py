"""Figures of a sweep: a line for one axis, a heat map for two, hallucination against recall."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.figure_files import BLUE, GREY, ORANGE, write_figure
from halluc.leaderboard.formatting import with_arrow
from halluc.scoring.base import REGISTRY
from halluc.sweep.goals import Goal
from halluc.sweep.label_places import place_labels
from halluc.sweep.running import Sweep, feasible
from halluc.sweep.sweep_table import cell, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from halluc.sweep.axes import Axis
    from halluc.sweep.point_results import Outcome

_BASELINE, _POINT, _BEST = GREY, BLUE, ORANGE
_MARKS = {_BASELINE: "s", _POINT: "o", _BEST: "*"}
_SIZES = {_BASELINE: 6, _POINT: 5, _BEST: 11}


def draw_sweep(sweep: Sweep, folder: Path, ending: str = ".png") -> list[Path]:
    """Draw what fits the sweep, as sweep-<method>-<kind> with an ending: .png, .pdf or .svg.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    files = []
    for kind, paint in _kinds(sweep):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        paint(sweep, figure)
        files.append(folder / f"sweep-{sweep.config.method}-{kind}{ending}")
        write_figure(figure, files[-1])
    return files


def _kinds(sweep: Sweep) -> Iterator[tuple[str, Callable[[Sweep, Figure], None]]]:
    axes = sweep.config.axes
    if len(axes) == 1:
        yield "line", _line
    if len(axes) == 2 and all(axis.interval is None for axis in axes):
        yield "map", _map
    if _rates(sweep):
        yield "pareto", _pareto


def _rates(sweep: Sweep) -> tuple[Goal, Goal] | None:
    """Find a rate of hallucination, the objective if it is one, and the recall it may cost."""
    for name in dict.fromkeys([sweep.config.goal.benchmark, *sweep.config.benchmarks]):
        metrics = {metric.name: metric for metric in REGISTRY.get(name).card.metrics}
        worse = [m for m in metrics.values() if m.headline and m.higher_is_better is False]
        if sweep.config.goal.benchmark == name and sweep.config.goal.metric in worse:
            worse = [sweep.config.goal.metric]
        if worse and "recall" in metrics:
            return Goal(name, worse[-1]), Goal(name, metrics["recall"])
    return None


def _line(sweep: Sweep, figure: Figure) -> None:
    """Draw the objective over the axis, the baseline as a band; below it recall, if any."""
    axis, goals = sweep.config.axes[0], [sweep.config.goal]
    if (rates := _rates(sweep)) and rates[1] != goals[0]:
        goals.append(rates[1])
    panels = figure.subplots(len(goals), 1, sharex=True, squeeze=False)[:, 0]
    points = list(sweep.points)
    if axis.numeric:
        points.sort(key=lambda point: _value(point, axis))
        places = [_value(point, axis) for point in points]
    else:
        places = [float(axis.values.index(_value(point, axis))) for point in points]
        panels[-1].set_xticks(range(len(axis.values)), [cell(value) for value in axis.values])
    for panel, goal in zip(panels, goals, strict=True):
        scale, base = goal.metric.scale, sweep.baseline.values[str(goal)]
        panel.axhspan(base.low * scale, base.high * scale, color=_BASELINE, alpha=0.15, lw=0)
        panel.axhline(base.value * scale, color=_BASELINE, ls="--", lw=1.2, label="baseline, 95%")
        shown = [point.values[str(goal)] for point in points]
        lows, highs = [v.low * scale for v in shown], [v.high * scale for v in shown]
        panel.fill_between(places, lows, highs, color=_POINT, alpha=0.15, lw=0)
        values, name = [v.value * scale for v in shown], f"{sweep.config.method}, 95%"
        panel.plot(places, values, "o-", color=_POINT, ms=5, label=name)
        if sweep.best is not None:
            best = sweep.points[sweep.best]
            place = places[points.index(best)]
            height = best.values[str(goal)].value * scale
            panel.plot(place, height, "*", color=_BEST, ms=_SIZES[_BEST], label="best")
        panel.set_ylabel(_named(goal))
        _plain(panel)
    panels[-1].set_xlabel(axis.name)
    panels[0].legend(frameon=False, fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    figure.suptitle(_title(sweep), fontsize=10)


def _map(sweep: Sweep, figure: Figure) -> None:
    """Draw the objective's difference to the baseline in every cell, bold where it is decided."""
    import numpy as np

    rows, columns = sweep.config.axes
    goal, scale = str(sweep.config.goal), sweep.config.goal.metric.scale
    panel = figure.subplots()
    grid = np.full((len(rows.values), len(columns.values)), np.nan)
    for i, point in enumerate(sweep.points):
        y, x = (axis.values.index(_value(point, axis)) for axis in (rows, columns))
        gap = point.differences[goal]
        grid[y, x] = gap.value * scale
        decided = gap.low > 0 or gap.high < 0
        text = f"{point.values[goal].value * scale:.1f}\n{gap.value * scale:+.1f}"
        text += "" if feasible(sweep.config, point) else " x"
        weight = "bold" if decided else "normal"
        panel.text(x, y, text, ha="center", va="center", fontsize=9, fontweight=weight)
        if i == sweep.best:
            panel.add_patch(_frame(x, y))
    reach = float(np.nanmax(np.abs(grid))) or 1.0
    colours = "RdBu" if sweep.config.goal.metric.higher_is_better else "RdBu_r"
    image = panel.imshow(grid, cmap=colours, vmin=-1.6 * reach, vmax=1.6 * reach, aspect="auto")
    figure.colorbar(image, label=f"{_named(sweep.config.goal)}, minus baseline")
    panel.set_xticks(range(len(columns.values)), [cell(v) for v in columns.values])
    panel.set_yticks(range(len(rows.values)), [cell(v) for v in rows.values])
    panel.set_xlabel(columns.name)
    panel.set_ylabel(rows.name)
    base = sweep.baseline.values[goal].value * scale
    how = f"baseline {base:.1f}; bold: 95% interval of the difference without 0"
    how += "" if sweep.best is None else "; framed: best"
    how += "; x: misses a constraint" if sweep.config.bounds else ""
    panel.set_title(how, fontsize=8)
    figure.suptitle(_title(sweep), fontsize=10)


def _pareto(sweep: Sweep, figure: Figure) -> None:
    """Draw points by recall and hallucination; with 95% intervals where none is better in both."""
    rates = _rates(sweep)
    assert rates is not None
    panel = figure.subplots()
    best = None if sweep.best is None else sweep.points[sweep.best]
    spots: dict[tuple[float, float], list[Outcome]] = {}
    for outcome in (sweep.baseline, *sweep.points):
        rate, recall = (_scaled(outcome, goal)[0] for goal in rates)
        spots.setdefault((rate, recall), []).append(outcome)
    front = [spot for spot in spots if not any(_beats(other, spot) for other in spots)]
    named = []
    for spot, outcomes in spots.items():
        rate, recall = spot
        shown = best if best in outcomes else outcomes[0]
        colour = _BEST if shown is best else _BASELINE if shown is sweep.baseline else _POINT
        panel.plot(recall, rate, _MARKS[colour], color=colour, ms=_SIZES[colour], zorder=3)
        if spot not in front and colour == _POINT:
            continue
        (up, across) = (_scaled(shown, goal) for goal in rates)
        panel.vlines(recall, *up[1:], color=colour, lw=0.7, alpha=0.6)
        panel.hlines(rate, *across[1:], color=colour, lw=0.7, alpha=0.6)
        named.append((label(shown.point), (recall, rate), colour))
    line = sorted(spot[::-1] for spot in front)
    panel.step(*zip(*line, strict=True), where="pre", color=_POINT, lw=1, alpha=0.6)
    panel.margins(x=0.15)
    how = "square: baseline; star: best; line: no point beats these in both, with 95% intervals"
    panel.set_title(how, fontsize=8)
    panel.set_xlabel(_named(rates[1]))
    panel.set_ylabel(_named(rates[0]))
    _plain(panel)
    figure.suptitle(_title(sweep), fontsize=10)
    place_labels(panel, named)


def _beats(spot: tuple[float, float], other: tuple[float, float]) -> bool:
    """True if a (rate, recall) is as good in both as another, and not the same."""
    return spot[0] <= other[0] and spot[1] >= other[1] and spot != other


def _scaled(outcome: Outcome, goal: Goal) -> tuple[float, float, float]:
    value, scale = outcome.values[str(goal)], goal.metric.scale
    return value.value * scale, value.low * scale, value.high * scale


def _frame(x: int, y: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.49, y - 0.49), 0.98, 0.98, fill=False, ec="black", lw=2)


def _value(point: Outcome, axis: Axis) -> Any:
    return (point.point or {})[axis.name]


def _named(goal: Goal) -> str:
    name = f"{goal.metric.name}{' (%)' if goal.metric.scale == 100 else ''}"
    return with_arrow(name, goal.metric.higher_is_better)


def _title(sweep: Sweep) -> str:
    goal = sweep.config.goal
    images = sweep.baseline.n_images[goal.benchmark]
    return (
        f"{sweep.config.method} on {sweep.config.model}: {goal.benchmark}, {images} images tuned on"
    )


def _plain(panel: Axes) -> None:
    panel.spines[["top", "right"]].set_visible(False)
