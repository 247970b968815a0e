"""What the three benchmarks of the drawn world share: which scenes, and their COCO annotations."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

from halluc.scoring.coco import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image
    from pycocotools.coco import COCO

SPLIT = "test"
IMAGES = 500


class Files(NamedTuple):
    """COCO's two annotation files of some scenes, indexed by pycocotools."""

    instances: COCO
    captions: COCO


@cache
def indices(distinct: int = 1) -> tuple[int, ...]:
    """The first `IMAGES` test scenes with at least so many distinct categories."""
    from itertools import count, islice

    from halluc.world.scenes import scene

    fitting = (i for i in count() if len(scene(SPLIT, i).categories) >= distinct)
    return tuple(islice(fitting, IMAGES))


@cache
def files(distinct: int = 1) -> Files:
    """The annotation files of those scenes; an image's id is its index plus one."""
    from halluc.world.coco import coco

    return Files(*(load(file) for file in coco(SPLIT, indices(distinct))))


def loader(index: int) -> Callable[[], Image]:
    """Return a function that draws a test scene."""
    return partial(_draw, index)


def _draw(index: int) -> Image:
    from halluc.world.scenes import scene

    return scene(SPLIT, index).image()


def name(index: int) -> str:
    """The file name COCO's JSON gives a scene: what its answers are grouped by."""
    from halluc.world.scenes import scene

    return scene(SPLIT, index).file_name
