"""The sweep: baseline and points on one part of the images, the best point on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.calibration import find_calibration, read
from halluc.evaluation import Evaluation, evaluate_together, open_model
from halluc.scoring.base import REGISTRY
from halluc.statistics import tie_groups
from halluc.sweep.goals import Goal
from halluc.sweep.optuna_search import search_points
from halluc.sweep.point_results import Outcome, score_point

if TYPE_CHECKING:
    from rich.console import Console

    from halluc.evaluation.asking import Elsewhere
    from halluc.interruption import Stop
    from halluc.sweep.sweep_config import SweepConfig

FOLDER = "sweeps"


@dataclass(frozen=True)
class Sweep:
    """A finished sweep.

    Attributes:
        folder: Where its report goes; the runs are next to it.
        baseline, points: The baseline and every point, on the images tuned on.
        ties: The tie group by the objective of the baseline and of every point, the best group
            first.
        best: The point with the best objective among those that meet all constraints; None if none
            does, or if all answer as the baseline does.
        reported: The baseline and the best point on images no point was chosen by; empty if the
            sweep tuned on all images or nothing is best.
    """

    config: SweepConfig
    folder: Path
    baseline: Outcome
    points: tuple[Outcome, ...]
    ties: tuple[int, ...]
    best: int | None
    reported: tuple[Outcome, Outcome] | tuple[()]


def run_sweep(
    config: SweepConfig,
    output_dir: Path = Path("runs"),
    *,
    calibration: Path | None = None,
    console: Console | None = None,
    stop: Stop | None = None,
    elsewhere: Elsewhere | None = None,
) -> Sweep:
    """Run a sweep, or continue one where it was interrupted: at the point, and the sample.

    Args:
        output_dir: Its folder "sweeps" receives a run folder for every point and seed.
        calibration: A file of `halluc calibrate`; None for the newest that fits.
        console: Where progress is shown; standard error by default.
        stop: Ends asking after a batch when a signal comes.
        elsewhere: Who holds the model and answers; this process by default.

    Raises:
        UserError: If one of its runs raises it.
        Interrupted: If told to stop.
    """
    first = config.run("tune", next(config.points()))
    model = open_model(first) if elsewhere is None else None
    fingerprint = (elsewhere or model).fingerprint  # type: ignore[union-attr]  # one is there
    file = calibration or find_calibration(output_dir, fingerprint, config.method)
    measured, runs = read(file) if file else None, output_dir / FOLDER

    def evaluated(half: str, points: Sequence[Mapping[str, Any] | None]) -> list[list[Evaluation]]:
        """Run each point with each seed, all of them side by side; return the runs by point."""
        configs = [config.run(half, point, seed) for point in points for seed in config.seeds]
        done = evaluate_together(
            configs,
            runs,
            model=model,
            calibrations={config.method: measured} if measured else None,
            console=console,
            stop=stop,
            elsewhere=elsewhere,
        )
        n = len(config.seeds)
        return [done[i : i + n] for i in range(0, len(done), n)]

    folder = runs / f"{config.model}-{config.method}-{config.hash}".replace("/", "_")
    if config.search == "grid":
        points = list(config.points())
        unchanged, *rest = evaluated("tune", [None, *points])
        outcomes = [
            score_point(point, runs, unchanged) for point, runs in zip(points, rest, strict=True)
        ]
    else:
        (unchanged,) = evaluated("tune", [None])
        outcomes = search_points(
            config, lambda point: score_point(point, evaluated("tune", [point])[0], unchanged)
        )
    baseline = score_point(None, unchanged, unchanged)
    best = best_of(config, outcomes)
    reported: tuple[Outcome, Outcome] | tuple[()] = ()
    if config.tune_share and best is not None:
        point = outcomes[best].point
        base, best_runs = evaluated("test", [None, point])
        reported = score_point(None, base, base), score_point(point, best_runs, base)
    ties = ties_of(config, [baseline, *outcomes])
    return Sweep(config, folder, baseline, tuple(outcomes), ties, best, reported)


def feasible(config: SweepConfig, point: Outcome) -> bool:
    """Return whether a point meets every constraint."""
    return all(b.excess(point.values[str(b.goal)].value) <= 0 for b in config.bounds)


def best_of(config: SweepConfig, points: Sequence[Outcome]) -> int | None:
    """Return the number of the best point by the objective that meets every constraint, if any.

    Of points that are equally good, the best is the one with the most recall, where that is
    measured, then the one better in the benchmark's other headline metrics, then the first. Where
    every answer of every point is the baseline's, none is better than another.
    """
    if all(point.same for point in points):
        return None
    goals = [config.goal, *_tie_breakers(config.goal)]
    merits = {
        number: tuple(_merit(point, goal) for goal in goals)
        for number, point in enumerate(points)
        if feasible(config, point) and _merit(point, config.goal) > -inf
    }
    return max(merits, key=lambda number: merits[number]) if merits else None


def _tie_breakers(goal: Goal) -> list[Goal]:
    """Return by what points that are equally good are ordered: recall, then other headlines."""
    known = [
        Goal(goal.benchmark, metric)
        for metric in REGISTRY.get(goal.benchmark).card.metrics
        if metric.headline and metric.higher_is_better is not None and metric != goal.metric
    ]
    return sorted(known, key=lambda one: one.metric.name != "recall")


def _merit(point: Outcome, goal: Goal) -> float:
    """Return a metric of a point, more of it better; -inf where it is undefined."""
    value = point.values[str(goal)].value
    if value != value:
        return -inf
    return value if goal.metric.higher_is_better else -value


def ties_of(config: SweepConfig, outcomes: Sequence[Outcome]) -> tuple[int, ...]:
    """Group baseline and points that the objective cannot tell apart; 0 where it is undefined."""
    goal, sign = str(config.goal), 1 if config.goal.metric.higher_is_better else -1
    gaps = [point.differences.get(goal) for point in outcomes]
    known = [gap for gap in gaps if gap is not None]
    groups = iter(tie_groups([sign * gap.value for gap in known], [gap.stderr for gap in known]))
    return tuple(0 if gap is None else next(groups) for gap in gaps)
