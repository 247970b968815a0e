"""Tools for measuring: CPU seconds and bytes, of one thing at two numbers of them."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Unit:
    """What one of many things costs, measured at two numbers of them.

    Attributes:
        small, large: The numbers.
        at_small, at_large: What one costs at each, in seconds or bytes.
    """

    small: int
    large: int
    at_small: float
    at_large: float

    @property
    def linear(self) -> float:
        """What one costs at the larger number against the smaller: 1 where cost is linear."""
        return self.at_large / self.at_small if self.at_small else 1.0

    @property
    def growth(self) -> float:
        """What one more costs, beyond what there is to pay once."""
        extra = self.at_large * self.large - self.at_small * self.small
        return extra / (self.large - self.small)


def units(measured: Mapping[int, Mapping[str, float]]) -> dict[str, Unit]:
    """Turn totals, by number of things and by name, into what one costs."""
    (small, few), (large, many) = sorted(measured.items())
    return {name: Unit(small, large, few[name] / small, many[name] / large) for name in few}


def spent(what: Callable[[], object], rounds: int = 3) -> float:
    """Measure CPU seconds; the median of some rounds."""
    gc.collect()
    found = []
    for _ in range(rounds):
        before = time.process_time()
        what()
        found.append(time.process_time() - before)
    return median(found)


def held(what: Callable[[], object]) -> int:
    """Measure the bytes that a result takes in memory."""
    tracemalloc.start()
    kept = what()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    return size
