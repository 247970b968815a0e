"""COCO annotations through pycocotools: objects and captions of every image."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.data.records import json_of
from halluc.errors import UserError

if TYPE_CHECKING:
    from pycocotools.coco import COCO


@dataclass(frozen=True)
class ImageObjects:
    """An image's name and the objects in it, in the order of annotation."""

    image: str
    objects: tuple[str, ...]


def load(source: Path | Mapping[str, Any]) -> COCO:
    """Index an instances or captions JSON, as a file or as its content.

    Raises:
        UserError: If the file is missing or is not COCO JSON.
    """
    from pycocotools.coco import COCO

    where = str(source) if isinstance(source, Path) else "COCO's annotations"
    if isinstance(source, Path):
        source = json_of(source, dict)
    if not {"images", "annotations"} <= set(source):
        raise UserError(f"{where}: needs 'images' and 'annotations'")
    coco = COCO()
    coco.dataset = dict(source)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
            coco.createIndex()
        categories = {category["id"] for category in source.get("categories", ())}
        for image in source["images"]:
            image["file_name"]
        for annotation in source["annotations"]:
            if "caption" not in annotation and annotation["category_id"] not in categories:
                raise UserError(f"{where}: has no category {annotation['category_id']!r}")
    except (KeyError, TypeError) as error:
        raise UserError(f"{where}: is malformed, {error} is missing") from error
    return coco


def objects(instances: COCO, images: Iterable[int] | None = None) -> dict[int, list[str]]:
    """Return the category names of every image, one per annotation (crowds too), in file order."""
    ids = instances.getImgIds() if images is None else images
    names = {category["id"]: category["name"] for category in instances.dataset["categories"]}
    return {
        image: [names[annotation["category_id"]] for annotation in instances.imgToAnns[image]]
        for image in ids
    }


def captions(captions: COCO, images: Iterable[int] | None = None) -> dict[int, list[str]]:
    """Return the human captions of every image, in file order."""
    ids = captions.getImgIds() if images is None else images
    return {image: [a["caption"] for a in captions.imgToAnns[image]] for image in ids}


def image_objects(instances: COCO) -> list[ImageObjects]:
    """Return the distinct categories of every image, in the order of annotation."""
    files = {image["id"]: image["file_name"] for image in instances.dataset["images"]}
    return [
        ImageObjects(files[image], tuple(dict.fromkeys(names)))
        for image, names in objects(instances).items()
    ]
