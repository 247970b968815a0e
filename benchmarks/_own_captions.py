"""The base of descriptions of one's own images: CHAIR with a vocabulary of one's own."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

from halluc.benchmarks._chair import METRICS, ChairBenchmark
from halluc.benchmarks._own_data import DATASET, OwnData
from halluc.benchmarks.chair_coco import PROMPTS
from halluc.errors import UserError
from halluc.scoring.card import BenchmarkCard
from halluc.scoring.chair import metric as chair
from halluc.scoring.chair.own_words import finder_of
from halluc.scoring.chair.word_families import FAMILIES, load_tables
from halluc.scoring.confusion_rates import ratio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from halluc.scoring.base import Totals
    from halluc.types import Answer, Reading


def card(title: str) -> BenchmarkCard:
    """Describe descriptions of one's own images."""
    return BenchmarkCard(
        title=title,
        paper="https://arxiv.org/abs/1809.02156",
        licence="the user's",
        task="caption",
        metrics=METRICS,
        citation="Rohrbach et al., Object Hallucination in Image Captioning, EMNLP 2018 (how "
        "objects are counted)",
        dataset=DATASET,
        split="all",
    )


class OwnCaptions(OwnData, ChairBenchmark):
    """Descriptions; a target is {"categories": [...], "captions": [...]}, or None: not scored.

    `own` finds the names of objects that the annotations use; `pattern` and `wordnet` read
    captions as CHAIR's two families do, by their tables for COCO's categories.

    Args:
        tables: CHAIR's tables, for the two families; None fetches them.
    """

    protocols = ("own", *FAMILIES)
    prompts = PROMPTS

    def __init__(
        self,
        protocol: str | None = None,
        prompt: str = "official",
        folder: Path | None = None,
        images: Path | None = None,
        tables: Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(protocol, prompt, folder, images, **options)
        self._tables = tables
        if tables is not None and self.protocol == "own":
            raise UserError(f"{self.name}: tables= goes with protocol=pattern or wordnet")

    @abstractmethod
    def vocabulary(self) -> list[str]:
        """Return the names of all objects that are annotated."""

    @cached_property
    def _finders(self) -> dict[str, chair.ObjectFinder]:
        return {}

    @property
    def finder(self) -> chair.ObjectFinder:
        """The finder of the protocol's words."""
        if self.protocol not in self._finders:
            self._finders[self.protocol] = (
                finder_of(self.vocabulary())
                if self.protocol == "own"
                else chair.ObjectFinder(load_tables(self._tables), FAMILIES[self.protocol])
            )
        return self._finders[self.protocol]

    def right(self, reading: Reading) -> bool | None:  # type: ignore[override]
        """Return whether all objects of the caption are there; None without annotations."""
        return None if reading.target is None else super().right(reading)

    def predict(self, answer: Answer) -> list[str]:
        """Return the objects that the caption names; none where there are no annotations."""
        return [] if answer.target is None else super().predict(answer)

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        """Count as CHAIR does; descriptions without annotations have only a length."""
        annotated = [reading for reading in readings if reading.target is not None]
        counts = super().tally(annotated)
        for reading in readings:
            if reading.target is None:
                n_words = float(len(self.caption(reading.answer).split()))
                counts["unannotated"] = counts.get("unannotated", 0.0) + 1
                counts["unannotated_words"] = counts.get("unannotated_words", 0.0) + n_words
        return counts

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return CHAIR's rates of what is annotated, and the length of all descriptions."""
        values = chair.metrics(totals)
        words = totals["words"] + totals["unannotated_words"]
        n = totals["captions"] + totals["unannotated"]
        return {**values, "length": ratio(words, n)}


def target(objects: Sequence[str], references: Sequence[str]) -> Mapping[str, list[str]]:
    """Return what is in an image, as CHAIR's truth takes it."""
    return {"categories": list(objects), "captions": list(references)}
