"""The base of benchmarks that CHAIR scores: finding and counting objects."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from typing import TYPE_CHECKING

from halluc.scoring.base import Benchmark
from halluc.scoring.card import Metric
from halluc.scoring.chair import metric as chair
from halluc.scoring.marks import find_marks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from halluc.scoring.base import Totals
    from halluc.scoring.marks import Mark
    from halluc.types import Answer, Reading

METRICS = (
    Metric("chair_s", higher_is_better=False, headline=True, scale=100),
    Metric("chair_i", higher_is_better=False, headline=True, scale=100),
    Metric("recall", headline=True, scale=100),
    Metric("precision", scale=100),
    Metric("f1", scale=100),
    Metric("length", higher_is_better=None, headline=True),
    Metric("objects", higher_is_better=None),
)


def cut_unfinished(caption: str) -> str:
    """Drop what follows the last full stop; a caption without one is kept whole."""
    end = caption.rfind(".")
    return caption[: end + 1] if end >= 0 else caption


class ChairBenchmark(Benchmark):
    """Captions; a target is {"categories": [...], "captions": [...]} of the image.

    The target holds annotations instead of objects, because the objects depend on the family that
    finds them; from a file of objects it is {"objects": [...]}. Subclasses define `card`, `samples`
    and `finder`.
    """

    @property
    @abstractmethod
    def finder(self) -> chair.ObjectFinder:
        """The finder of objects in captions and ground truth."""

    def predict(self, answer: Answer) -> list[str]:
        """Return the objects that the caption names, in order, with repetition."""
        return self.finder.find(self.caption(answer)).nodes

    def caption(self, answer: Answer) -> str:
        """Return the part of an answer that is scored."""
        return answer.text

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        """Count mentions, captions and objects, and those that are hallucinated."""
        counts: Counter[str] = Counter()
        for reading in readings:
            named = self.finder.find(self.caption(reading.answer))
            counts.update(chair.tally(named, self.truth(reading.target)))
        return {name: float(count) for name, count in counts.items()}

    def right(self, reading: Reading) -> bool:
        """Return whether all objects of the caption are there."""
        return set(reading.prediction) <= self.truth(reading.target)

    def marks(self, reading: Reading) -> list[Mark]:
        """Return the objects that the caption names, and whether they are there."""
        truth = self.truth(reading.target)
        named = self.finder.find(self.caption(reading.answer)).mentions
        return find_marks(reading.text, [(one.word, one.node in truth) for one in named])

    def missed(self, reading: Reading) -> list[str]:
        """Return the objects that the caption does not name."""
        return sorted(self.truth(reading.target) - set(reading.prediction))

    def truth(self, target: Mapping[str, list[str]]) -> set[str]:
        """Return the objects of an image."""
        if "objects" in target:
            return set(target["objects"])
        return self.finder.truth(target["categories"], target["captions"])

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return CHAIR's rates."""
        return chair.metrics(totals)
