"""COCO annotations through pycocotools: objects and captions of every image."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError
from halluc.scoring.pope import ImageObjects

if TYPE_CHECKING:
    from pycocotools.coco import COCO


def load(source: Path | Mapping[str, Any]) -> COCO:
    """Index an instances or captions JSON, given as a file or as what is in it.

    Raises:
        UserError: If the file is missing or is not COCO JSON.
    """
    import json

    from pycocotools.coco import COCO

    if isinstance(source, Path):
        if not source.is_file():
            raise UserError(f"{source}: no such annotation file")
        try:
            source = json.loads(source.read_text())
        except ValueError as error:
            raise UserError(f"{source}: not JSON ({error})") from error
    if not isinstance(source, Mapping) or not {"images", "annotations"} <= set(source):
        raise UserError("COCO annotations need 'images' and 'annotations'")
    coco = COCO()
    coco.dataset = dict(source)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
            coco.createIndex()
    except (KeyError, TypeError) as error:
        raise UserError(f"COCO annotations are malformed: {error} is missing") from error
    return coco


def objects(instances: COCO, images: Iterable[int] | None = None) -> dict[int, list[str]]:
    """Category names of every image, one per annotation (crowds included), in file order."""
    ids = instances.getImgIds() if images is None else images
    names = {category["id"]: category["name"] for category in instances.dataset["categories"]}
    return {
        image: [names[annotation["category_id"]] for annotation in instances.imgToAnns[image]]
        for image in ids
    }


def captions(captions: COCO, images: Iterable[int] | None = None) -> dict[int, list[str]]:
    """Human captions of every image, in file order."""
    ids = captions.getImgIds() if images is None else images
    return {image: [a["caption"] for a in captions.imgToAnns[image]] for image in ids}


def image_objects(instances: COCO) -> list[ImageObjects]:
    """The distinct categories of every image, in the order of annotation, as POPE takes them."""
    files = {image["id"]: image["file_name"] for image in instances.dataset["images"]}
    return [
        ImageObjects(files[image], tuple(dict.fromkeys(names)))
        for image, names in objects(instances).items()
    ]
