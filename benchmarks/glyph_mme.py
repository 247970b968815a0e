"""MME's four hallucination subtasks on the drawn world: existence, count, position, color."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from halluc.benchmarks import _glyph
from halluc.benchmarks._mme import MmeBenchmark, score_metrics
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard
from halluc.scoring.mme import metric as mme
from halluc.types import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from halluc.world.scenes import Scene


@benchmark("glyph_mme")
class GlyphMme(_glyph.Drawn, MmeBenchmark):
    """500 scenes; per subtask two questions a scene, one whose answer is yes and one no.

    A subtask leaves out scenes without an unambiguous answer.
    """

    subtasks = mme.HALLUCINATION
    card = BenchmarkCard(
        title="MME's hallucination subtasks on drawn scenes",
        paper="https://arxiv.org/abs/2306.13394",
        licence="Apache-2.0",
        task="yes_no",
        metrics=score_metrics(mme.HALLUCINATION),
        citation="Fu et al., MME: A Comprehensive Evaluation Benchmark for Multimodal Large "
        "Language Models, 2023",
        size=(500, 3856),
    )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Yield the questions of the first `limit` scenes, up to eight a scene."""
        from halluc.world.language import YES_OR_NO
        from halluc.world.scenes import scene

        split = self.scenes
        for index in _glyph.indices(split)[:limit]:
            name = _glyph.name(split, index)
            for subtask, pair in pairs(scene(split, index)).items():
                for label, question in zip(("yes", "no"), pair, strict=True):
                    yield Sample(
                        id=f"{subtask}/{name}/{label}",
                        image_id=name,
                        prompt=question + YES_OR_NO,
                        load_image=_glyph.loader(split, index),
                        target=label,
                        group=subtask,
                        max_new_tokens=8,
                    )


def pairs(scene: Scene) -> dict[str, tuple[str, str]]:
    """Write a scene's questions, about clearly visible things, as MME's are.

    Returns:
        A subtask to two questions: the answer to the first is yes, to the second no.
    """
    from halluc.world import facts, language
    from halluc.world.catalog import NAMES

    rng = random.Random(f"glyph_mme/{scene.split}/{scene.index}")
    questions: dict[str, tuple[str, str]] = {}
    if clear := [thing.category for thing in scene.things if thing.band == "clear"]:
        absent = rng.choice([name for name in NAMES if name not in scene.categories])
        questions["existence"] = (
            language.exists_here(rng.choice(clear)),
            language.exists_here(absent),
        )
    if counts := facts.counts(scene):
        # most categories have one instance: without weights nearly every answer would be "one"
        name = rng.choices(list(counts), [1 if n == 1 else 3 for n in counts.values()])[0]
        other = rng.choice([n for n in language.NUMBERS if n != counts[name]])
        questions["count"] = (language.count(name, counts[name]), language.count(name, other))
    if sides := facts.sides(scene):
        name = rng.choice(list(sides))
        left, right = language.position(name, "left"), language.position(name, "right")
        questions["position"] = (left, right) if sides[name] == "left" else (right, left)
    if colours := facts.colours(scene):
        name = rng.choice(list(colours))
        hue = rng.choice([hue for hue in language.HUES if hue != colours[name]])
        questions["color"] = (language.colour(name, colours[name]), language.colour(name, hue))
    return questions
