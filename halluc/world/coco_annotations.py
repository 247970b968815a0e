"""Scenes in the format of COCO's two annotation files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from halluc.world.backgrounds import SIDE
from halluc.world.captions import true_captions
from halluc.world.catalog import CATEGORIES, CATEGORY
from halluc.world.scenes import Scene, Thing, outline, scene

_INFO = {
    "description": "halluc: drawn scenes in COCO's format",
    "version": "1.0",
    "year": 2026,
    "contributor": "halluc",
    "url": "",
    "date_created": "",
}
_LICENSES = [{"id": 1, "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}]
_IDS_PER_IMAGE = 100


class CocoFiles(NamedTuple):
    """What COCO keeps in instances_*.json and in captions_*.json."""

    instances: dict[str, Any]
    captions: dict[str, Any]


def coco(split: str, indices: Iterable[int]) -> CocoFiles:
    """Write scenes in COCO's format.

    Args:
        split: The split the scenes are from.
        indices: Their indices in the split; a scene's image id is its index plus one.
    """
    scenes = [scene(split, index) for index in indices]
    head = {
        "info": _INFO,
        "licenses": _LICENSES,
        "images": [
            {
                "id": drawn.image_id,
                "file_name": drawn.file_name,
                "width": SIDE,
                "height": SIDE,
                "license": 1,
            }
            for drawn in scenes
        ],
    }
    instances = {**head, "annotations": _objects(scenes), "categories": _categories()}
    return CocoFiles(instances, {**head, "annotations": _captions(scenes)})


def _categories() -> list[dict[str, Any]]:
    return [
        {"id": category.id, "name": category.name, "supercategory": category.supercategory}
        for category in CATEGORIES
    ]


def _objects(scenes: list[Scene]) -> list[dict[str, Any]]:
    return [
        {
            "id": drawn.image_id * _IDS_PER_IMAGE + number,
            "image_id": drawn.image_id,
            "category_id": CATEGORY[thing.category].id,
            "bbox": [float(value) for value in thing.bbox],
            "area": float(thing.area),
            "iscrowd": 0,
            "segmentation": [polygon(thing)],
        }
        for drawn in scenes
        for number, thing in enumerate(drawn.things)
    ]


def _captions(scenes: list[Scene]) -> list[dict[str, Any]]:
    return [
        {
            "id": drawn.image_id * _IDS_PER_IMAGE + number,
            "image_id": drawn.image_id,
            "caption": text,
        }
        for drawn in scenes
        for number, text in enumerate(true_captions(drawn))
    ]


def polygon(thing: Thing) -> list[float]:
    """Outline a thing by the leftmost and rightmost pixel of each row of its visible box.

    Args:
        thing: An annotated thing.

    Returns:
        x, y, x, y, ... in pixels, around the outline as drawn, before anything covers it.
    """
    left, top, wide, high = thing.bbox
    mask = outline(thing)[top : top + high, left : left + wide]
    rows = np.flatnonzero(mask.any(1))
    starts = mask.argmax(1)
    ends = wide - mask[:, ::-1].argmax(1)
    right = [(left + int(ends[row]), top + int(row) + 0.5) for row in rows]
    back = [(left + int(starts[row]), top + int(row) + 0.5) for row in rows[::-1]]
    points = right + back
    if len(rows) < 2:
        points = [(left, top), (left + wide, top), (left + wide, top + high), (left, top + high)]
    return [float(value) for point in points for value in point]
