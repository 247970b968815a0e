"""Six properties of scenes, each varied alone, and what is asked at every level of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import mean
from typing import TYPE_CHECKING, Any

from halluc.lab.dose_readings import DoseQuestion, Levels, by_caption, by_existence, by_length
from halluc.lab.questions import caption, existence
from halluc.world.catalog import NAMES
from halluc.world.controlled import Variant, faded, fewer, resized
from halluc.world.scenes import generator
from halluc.world.themes import chance

if TYPE_CHECKING:
    from halluc.lab.dose_response import Observed
    from halluc.types import Answer, Sample
    from halluc.world.scenes import Scene

BINS = (0.0, 0.02, 0.1, 0.2, 0.35, 1.0)
"""Edges of the levels of co-occurrence: the chance of a category in the scene's theme."""


@dataclass(frozen=True)
class Dose:
    """A property that is varied.

    Attributes:
        name: What a table calls it.
        axis: What is varied, with its unit.
        levels: The doses that are given, from the least to the greatest.
        ask: Makes questions about scenes.
        read: Reads what was observed in an answer, by the model's tokenizer if it has to.
        least: The fewest things a scene has to have.
    """

    name: str
    axis: str
    levels: Levels
    ask: Callable[[Sequence[Scene], Levels], Iterator[DoseQuestion]]
    read: Callable[[DoseQuestion, Answer, Levels, Any], Iterator[Observed]]
    least: int = 1

    @property
    def reach(self) -> float:
        """The greatest dose less the least."""
        return self.levels[-1] - self.levels[0]


def _varied(
    name: str,
    change: Callable[[Scene, float], Variant],
    scenes: Sequence[Scene],
    levels: Levels,
) -> Iterator[DoseQuestion]:
    """Ask the same at each level: for one category in view at all of them, and two absent ones."""
    for scene in scenes:
        variants = [change(scene, level) for level in levels]
        rng = generator("lab", name, scene.split, scene.index)
        seen = [c for c in scene.categories if all(c in v.scene.categories for v in variants)]
        absent = sorted(set(NAMES) - set(scene.categories), key=partial(chance, scene.theme))
        asked = [*rng.sample(seen, min(1, len(seen))), absent[-1], rng.choice(absent[:-1])]
        for place, (level, variant) in enumerate(zip(levels, variants, strict=True)):
            for category in asked:
                yield DoseQuestion(existence(variant, category), scene.file_name, place, level)


def _size(scene: Scene, factor: float) -> Variant:
    return Variant(resized(scene, factor), f"size={factor:g}")


def _contrast(scene: Scene, opacity: float) -> Variant:
    return Variant(faded(scene, opacity), f"contrast={opacity:g}")


def _clutter(scene: Scene, blobs: float) -> Variant:
    return Variant(scene, f"clutter={blobs:g}", more_clutter=int(blobs))


def _company(scenes: Sequence[Scene], levels: Levels) -> Iterator[DoseQuestion]:
    """Ask for an absent and a present category of each level of co-occurrence, where there are.

    A category that is common everywhere may be affirmed for that alone. So the dose that the slope
    is over is the category's chance in this theme less its mean over all that is asked of it: the
    slope compares a category with itself in other themes (Frisch and Waugh, Econometrica 1, 1933).
    """
    asked: list[tuple[Sample, str, int, str, float]] = []
    chances: dict[tuple[str, object], list[float]] = defaultdict(list)
    for scene in scenes:
        variant, rng = Variant(scene), generator("lab", "company", scene.split, scene.index)
        for level, (low, high) in enumerate(pairwise(BINS)):
            fitting = [name for name in NAMES if low <= chance(scene.theme, name) < high]
            for there in (True, False):
                choice = [name for name in fitting if (name in scene.categories) == there]
                if choice:
                    category = rng.choice(choice)
                    sample, x = existence(variant, category), chance(scene.theme, category)
                    chances[category, sample.target].append(x)
                    asked.append((sample, scene.file_name, level, category, x))
    for sample, name, level, category, x in asked:
        yield DoseQuestion(sample, name, level, x - mean(chances[category, sample.target]))


def _number(scenes: Sequence[Scene], levels: Levels) -> Iterator[DoseQuestion]:
    for scene in scenes:
        for place, level in enumerate(levels):
            variant = Variant(fewer(scene, int(level)), f"things={level:g}")
            yield DoseQuestion(caption(variant), scene.file_name, place, level)


def _described(scenes: Sequence[Scene], levels: Levels) -> Iterator[DoseQuestion]:
    for scene in scenes:
        yield DoseQuestion(caption(Variant(scene)), scene.file_name, 0, 0)


DOSES: tuple[Dose, ...] = (
    Dose(
        "co-occurrence",
        "chance in the theme",
        (0.01, 0.06, 0.15, 0.27, 0.55),
        _company,
        by_existence,
    ),
    Dose(
        "size",
        "size of things, times drawn",
        (0.35, 0.6, 1.0, 1.5),
        partial(_varied, "size", _size),
        by_existence,
    ),
    Dose(
        "contrast",
        "opacity of things",
        (0.15, 0.3, 0.6, 1.0),
        partial(_varied, "contrast", _contrast),
        by_existence,
    ),
    Dose(
        "clutter",
        "more blobs behind the things",
        (0.0, 10.0, 20.0, 40.0),
        partial(_varied, "clutter", _clutter),
        by_existence,
    ),
    Dose("number", "things in the scene", (1.0, 2.0, 4.0, 6.0), _number, by_caption, least=6),
    Dose("length", "tokens of the description", (16.0, 32.0, 64.0, 96.0), _described, by_length),
)
"""In the order of the table; levels of co-occurrence are about the middles of `BINS`."""
