"""POPE on the drawn world: is there a dog in the image?

The questions are built from COCO annotations as by POPE's authors, on 500 test scenes with at least
three distinct objects. All three strategies are built on the 500 scenes, whatever the limit, so
that a limit selects questions and does not change them.
"""

from __future__ import annotations

import random
from functools import cache
from typing import TYPE_CHECKING

from halluc.benchmarks import _glyph
from halluc.benchmarks._yes_no import YesNoBenchmark, rate_metrics
from halluc.data import coco_objects as coco
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard
from halluc.scoring.pope import questions as pope
from halluc.types import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

DISTINCT = 3


@benchmark("glyph_pope")
class GlyphPope(_glyph.Drawn, YesNoBenchmark):
    """500 scenes, 18 questions each: three present and three absent objects for each strategy."""

    groups = pope.STRATEGIES
    card = BenchmarkCard(
        title="POPE on drawn scenes",
        paper="https://arxiv.org/abs/2305.10355",
        licence="Apache-2.0",
        task="yes_no",
        metrics=rate_metrics(
            pope.STRATEGIES, headline=("random/accuracy", "adversarial/accuracy", "f1")
        ),
        citation="Li et al., Evaluating Object Hallucination in Large Vision-Language Models, "
        "EMNLP 2023",
        size=(500, 9000),
    )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Yield the questions of the first `limit` scenes, 18 a scene."""
        split = self.scenes
        for index in _glyph.indices(split, DISTINCT)[:limit]:
            for strategy in self.groups:
                for question in questions(split, strategy)[_glyph.name(split, index)]:
                    yield Sample(
                        id=f"{strategy}/{question.question_id:04d}",
                        image_id=question.image,
                        prompt=question.text,
                        load_image=_glyph.loader(split, index),
                        target=question.label,
                        group=strategy,
                        max_new_tokens=8,
                    )


@cache
def questions(split: str, strategy: str) -> dict[str, list[pope.Question]]:
    """Build a strategy's questions on a split's 500 scenes: an image's name to its questions."""
    from halluc.world.language import exists

    images = coco.image_objects(_glyph.files(split, DISTINCT).instances)
    rng = random.Random(f"glyph_pope/{strategy}")
    by_image: dict[str, list[pope.Question]] = {}
    for question in pope.build(images, strategy, rng, template=exists):
        by_image.setdefault(question.image, []).append(question)
    return by_image
