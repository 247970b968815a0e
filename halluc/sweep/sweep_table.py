"""A finished sweep on the terminal: a line a point, the best and its ties marked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from halluc.config import BASELINE
from halluc.leaderboard.formatting import interval, number, with_arrow
from halluc.scoring.base import REGISTRY
from halluc.sweep.goals import Goal
from halluc.sweep.running import Sweep, feasible
from halluc.sweep.sweep_files import summary

if TYPE_CHECKING:
    from halluc.sweep.point_results import Outcome


def tables(sweep: Sweep) -> Iterator[Table]:
    """Yield the points on the images tuned on, then the best of them on the others."""
    about = summary(sweep)
    rows = [
        (outcome, _marks(sweep, i)) for i, outcome in enumerate([sweep.baseline, *sweep.points])
    ]
    yield _table(sweep, f"Tuned on {_where(about['tuned_on'])}", rows)
    if sweep.reported:
        plain = [(outcome, "") for outcome in sweep.reported]
        yield _table(sweep, f"Reported on {_where(about['reported_on'])}, none tuned on", plain)


def legend(sweep: Sweep) -> str:
    """Explain the marks."""
    text = "* best, = cannot be told from the best of all by the objective (5%, all pairs)"
    return text + (", x misses a constraint" if sweep.config.bounds else "")


def shown(sweep: Sweep) -> list[Goal]:
    """List the metrics to show: objective, constraints, then recall and length if there are any."""
    goals = [sweep.config.goal, *(bound.goal for bound in sweep.config.bounds)]
    for name in dict.fromkeys([sweep.config.goal.benchmark, *sweep.config.benchmarks]):
        metrics = REGISTRY.get(name).card.metrics
        if name != sweep.config.goal.benchmark:
            goals += [Goal(name, next(m for m in metrics if m.headline))]
        goals += [Goal(name, m) for m in metrics if m.headline and m.name in ("recall", "length")]
    return list(dict.fromkeys(goals))


def label(point: Any) -> str:
    """Name a point: "keep=0.2, rho=0.5"; "baseline" for None."""
    if point is None:
        return BASELINE
    return ", ".join(f"{name}={cell(value)}" for name, value in point.items())


def cell(value: Any) -> str:
    """Format a swept value; consecutive layers as their span."""
    if isinstance(value, list) and len(value) > 1 and isinstance(value[0], int):
        span = f"{value[0]}-{value[0] + len(value)}"
        return span if value == list(range(value[0], value[0] + len(value))) else json.dumps(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def _table(sweep: Sweep, title: str, rows: Sequence[tuple[Outcome, str]]) -> Table:
    table = Table(title=title, title_justify="left")
    goals, axes = shown(sweep), [axis.name for axis in sweep.config.axes]
    for name in ("", *axes):
        table.add_column(name, justify="left" if not name else "right", overflow="fold")
    several = len(sweep.config.benchmarks) > 1
    for goal in goals:
        prefix = f"{goal.benchmark}\n" if several else ""
        name = with_arrow(goal.metric.name, goal.metric.higher_is_better)
        table.add_column(prefix + name, justify="right")
        if goal is goals[0]:
            table.add_column("- baseline", justify="right")
    for outcome, marks in rows:
        settings = [BASELINE] + [""] * (len(axes) - 1)
        if outcome.point is not None:
            settings = [cell(outcome.point[name]) for name in axes]
        numbers = []
        for goal in goals:
            scale = goal.metric.scale
            value = outcome.values[str(goal)]
            if goal is goals[0]:
                gap = None if outcome.point is None else outcome.differences.get(str(goal))
                numbers += [
                    interval(value, scale),
                    "" if gap is None else interval(gap, scale, "+"),
                ]
            else:
                numbers.append(number(value.value, scale))
        style = "bold" if "*" in marks else "dim" if "x" in marks else ""
        table.add_row(marks, *map(escape, [*settings, *numbers]), style=style)
    return table


def _marks(sweep: Sweep, row: int) -> str:
    outcome = sweep.points[row - 1] if row else sweep.baseline
    best = sweep.best is not None and row == sweep.best + 1
    tied = sweep.ties[row] == 1
    missed = not feasible(sweep.config, outcome)
    return "*" * best + "=" * tied + "x" * missed


def _where(about: dict[str, dict[str, Any]]) -> str:
    return "; ".join(
        f"{name}, {part['images']} images ({part['split']})" for name, part in about.items()
    )
