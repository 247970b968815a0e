"""Totals over the whole grid: methods x models x benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.plan.assumed import MODELS, Asks, Assumed
from bench.plan.gpu_time import BASELINE, Ratio, Sharing, imbalance, seconds


@dataclass(frozen=True)
class Way:
    """A way to ask everything.

    Attributes:
        sharing: What is computed once.
        baselines: How often the baseline is asked, on each model; None for once with each method.
        together: Whether one command has all methods, so that a model is loaded once.
    """

    name: str
    sharing: Sharing = "nothing"
    baselines: int | None = 1
    together: bool = False


WAYS = (
    Way("nothing shared, the baseline asked again with each method", baselines=None),
    Way("the baseline asked once"),
    Way("and equal questions once, prefixes once an image", "questions"),
    Way("and all methods in one command", "command", together=True),
)


@dataclass(frozen=True)
class Total:
    """What the grid takes.

    Attributes:
        work: Seconds of answering, by benchmark, on one GPU.
        loads: Seconds of loading models, on each GPU.
        images: A benchmark's images.
    """

    work: dict[str, float]
    loads: float
    images: dict[str, int]

    def gpu_hours(self, gpus: int = 1) -> float:
        """Hours paid for: of all GPUs, busy or waiting for the fullest shard."""
        return gpus * self.wall_hours(gpus)

    def wall_hours(self, gpus: int) -> float:
        """Hours on the clock, each benchmark split by image over all GPUs."""
        work = (took * imbalance(self.images[name], gpus) for name, took in self.work.items())
        return (sum(work) / gpus + self.loads) / 3600


def total(
    way: Way,
    ratios: Sequence[Ratio],
    methods: int,
    asked: Sequence[Asks],
    assumed: Assumed,
    at_limit: bool = False,
) -> Total:
    """Add up the grid; each measured method stands for an equal share of those without a baseline.

    Args:
        methods: Their number, the baseline among them.
    """
    others = methods - 1
    baselines = others if way.baselines is None else way.baselines
    work = {}
    for asks in asked:
        work[asks.name] = 0.0
        for model in MODELS:
            about = model, asks, assumed, way.sharing
            first = not way.together
            mine = [seconds(ratio, *about, first, at_limit) for ratio in ratios]
            baseline = seconds(BASELINE, *about, at_limit=at_limit)
            work[asks.name] += baselines * baseline + others * sum(mine) / len(mine)
    commands = 1 if way.together else others
    loads = assumed.load * len(MODELS) * commands
    return Total(work, loads, {asks.name: asks.images for asks in asked})
