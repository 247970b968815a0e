"""The base of the three benchmarks of the drawn world: scenes and their COCO annotations.

The split "test" is for reports; a sweep tunes on "tune", which is drawn from other seeds.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

from halluc.data.coco_objects import load
from halluc.errors import UserError
from halluc.scoring.base import Benchmark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from PIL.Image import Image
    from pycocotools.coco import COCO

    from halluc.types import Sample

SPLIT, TUNE = "test", "tune"
IMAGES = 500


class Files(NamedTuple):
    """COCO's two annotation files of some scenes, indexed by pycocotools."""

    instances: COCO
    captions: COCO


class Drawn(Benchmark):
    """A benchmark that draws its images, and draws others to tune on."""

    @classmethod
    def halves(cls, share: float) -> tuple[dict[str, str], dict[str, str]]:
        """Return options for the scenes to tune on, and for all test scenes, whatever the share."""
        return {"split": TUNE}, {}

    def take(self, split: str) -> None:
        """Restrict the samples to the scenes of a split."""
        if split not in (SPLIT, TUNE):
            raise UserError(f"{self.name}: unknown split {split!r}, choose from {SPLIT}, {TUNE}")
        self.split = split

    def asked(self, limit: int | None = None) -> Iterator[Sample]:
        """Return the samples of a run; `samples` knows the split."""
        return self.samples(limit)

    @property
    def scenes(self) -> str:
        """The split that scenes are drawn from."""
        return self.split or SPLIT


@cache
def indices(split: str, distinct: int = 1) -> tuple[int, ...]:
    """Return the first `IMAGES` scenes of a split with at least `distinct` categories."""
    from itertools import count, islice

    from halluc.world.scenes import scene

    fitting = (i for i in count() if len(scene(split, i).categories) >= distinct)
    return tuple(islice(fitting, IMAGES))


@cache
def files(split: str, distinct: int = 1) -> Files:
    """Return the annotation files of those scenes; an image's id is its index plus one."""
    from halluc.world.coco_annotations import coco

    return Files(*(load(file) for file in coco(split, indices(split, distinct))))


def loader(split: str, index: int) -> Callable[[], Image]:
    """Return a function that draws a scene."""
    return partial(_draw, split, index)


def _draw(split: str, index: int) -> Image:
    from halluc.world.rendering import render
    from halluc.world.scenes import scene

    return render(scene(split, index))


def name(split: str, index: int) -> str:
    """Return a scene's file name in COCO's JSON, by which answers are grouped."""
    from halluc.world.scenes import scene

    return scene(split, index).file_name
