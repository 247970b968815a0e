"""What the three benchmarks of the drawn world share: which scenes, and their COCO annotations.

Reports are about the split "test"; a sweep tunes on "tune", drawn from other seeds.
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
    """A benchmark that draws its images, and so can draw others to tune on."""

    @classmethod
    def halves(cls, share: float) -> tuple[dict[str, str], dict[str, str]]:
        """Scenes drawn to tune on, and the test scenes, all of them whatever the share."""
        return {"split": TUNE}, {}

    def take(self, split: str) -> None:
        """Ask about the scenes of a split."""
        if split not in (SPLIT, TUNE):
            raise UserError(f"{self.name}: unknown split {split!r}, choose from {SPLIT}, {TUNE}")
        self.split = split

    def asked(self, limit: int | None = None) -> Iterator[Sample]:
        """Yield what a run asks: `samples` knows the split."""
        return self.samples(limit)

    @property
    def scenes(self) -> str:
        """The split drawn from."""
        return self.split or SPLIT


@cache
def indices(split: str, distinct: int = 1) -> tuple[int, ...]:
    """The first `IMAGES` scenes of a split with at least so many distinct categories."""
    from itertools import count, islice

    from halluc.world.scenes import scene

    fitting = (i for i in count() if len(scene(split, i).categories) >= distinct)
    return tuple(islice(fitting, IMAGES))


@cache
def files(split: str, distinct: int = 1) -> Files:
    """The annotation files of those scenes; an image's id is its index plus one."""
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
    """The file name COCO's JSON gives a scene: what its answers are grouped by."""
    from halluc.world.scenes import scene

    return scene(split, index).file_name
