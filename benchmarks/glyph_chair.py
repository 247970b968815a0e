"""CHAIR on the drawn world: which objects does a description name that are not there?"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from halluc.benchmarks import _glyph
from halluc.benchmarks._chair import METRICS, ChairBenchmark
from halluc.data import coco_objects as coco
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard
from halluc.scoring.chair import metric as chair
from halluc.types import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator


@benchmark("glyph_chair")
class GlyphChair(_glyph.Drawn, ChairBenchmark):
    """500 scenes to describe; objects come from annotations and five human-like captions."""

    protocols = ("official",)
    card = BenchmarkCard(
        title="CHAIR on drawn scenes",
        paper="https://arxiv.org/abs/1809.02156",
        licence="Apache-2.0",
        task="caption",
        metrics=METRICS,
        citation="Rohrbach et al., Object Hallucination in Image Captioning, EMNLP 2018",
        size=(500, 500),
    )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Yield one request to describe each of the first `limit` scenes."""
        split = self.scenes
        files = _glyph.files(split)
        objects, captions = coco.objects(files.instances), coco.captions(files.captions)
        for index in _glyph.indices(split)[:limit]:
            image = index + 1
            yield Sample(
                id=_glyph.name(split, index),
                image_id=_glyph.name(split, index),
                prompt="Please describe this image in detail.",
                load_image=_glyph.loader(split, index),
                target={"categories": objects[image], "captions": captions[image]},
                max_new_tokens=192,
            )

    @property
    def finder(self) -> chair.ObjectFinder:
        """The finder of the drawn world's words, singular and plural, without stemming."""
        return _finder()


@cache
def _finder() -> chair.ObjectFinder:
    from halluc.world.language import SYNONYMS

    nodes = {form: name for name, forms in SYNONYMS.items() for form in forms}
    pairs = {form: form for form in nodes if " " in form}
    return chair.ObjectFinder(chair.Tables(nodes, pairs), _words)


def _words(caption: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", caption.lower())
