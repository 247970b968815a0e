"""The metric that a sweep optimises, and the bounds that its best point has to meet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from halluc.errors import UserError
from halluc.scoring.base import REGISTRY
from halluc.scoring.card import Metric
from halluc.suggestions import did_you_mean

_BOUND = re.compile(r"\s*(\S+?)\s*(>=|<=|>|<)\s*(\S+)\s*")


class Goal(NamedTuple):
    """A metric of a benchmark."""

    benchmark: str
    metric: Metric

    def __str__(self) -> str:
        return f"{self.benchmark}.{self.metric.name}"


class Bound(NamedTuple):
    """A metric that must not fall short of a value, or exceed it."""

    goal: Goal
    sign: str
    value: float

    def excess(self, value: float) -> float:
        """Measure how far a value is on the wrong side: 0 or less if it is not, inf for nan."""
        over = self.value - value if self.sign[0] == ">" else value - self.value
        if over == 0 and len(self.sign) == 1:
            return 1e-12  # strictly
        return over if over == over else float("inf")


def first_headline(benchmark: str) -> Goal:
    """Return the first headline metric of a benchmark."""
    metrics = REGISTRY.get(benchmark).card.metrics
    return Goal(benchmark, next(metric for metric in metrics if metric.headline))


def parse_goal(text: str, option: str, benchmarks: Sequence[str]) -> Goal:
    """Parse "benchmark.metric".

    Args:
        option: The option it was typed for, named in errors.
        benchmarks: Those that are run.

    Raises:
        UserError: If the benchmark is not run, or does not report the metric.
    """
    name, _, metric = text.strip().partition(".")
    if name not in benchmarks:
        run = ", ".join(benchmarks)
        raise UserError(f"{option} {text}: {name!r} is not run; as in {run}.METRIC")
    known = {m.name: m for m in REGISTRY.get(name).card.metrics}
    if metric not in known:
        hint = did_you_mean(metric, known, f"it reports {', '.join(known)}")
        raise UserError(f"{option} {text}: {name} reports no {metric!r}; {hint}")
    return Goal(name, known[metric])


def parse_bound(text: str, benchmarks: Sequence[str]) -> Bound:
    """Parse "benchmark.metric>=value".

    Raises:
        UserError: If it is not of that form, or its metric is not reported.
    """
    match = _BOUND.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        goal, sign, value = match.groups()
        return Bound(parse_goal(goal, "--constraint", benchmarks), sign, float(value))
    except ValueError:
        raise UserError(
            f"--constraint {text!r}: as in 'glyph_chair.recall>=0.7', shares from 0 to 1"
        ) from None
