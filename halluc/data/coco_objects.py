"""COCO annotations through pycocotools: objects and captions of every image."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.data.pairing import unique
from halluc.data.records import Row, json_of
from halluc.errors import UserError
from halluc.validation import shown

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
    _check(source, where)
    coco = COCO()
    coco.dataset = dict(source)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        coco.createIndex()
    return coco


def _check(source: Mapping[str, Any], where: str) -> None:
    """Check the names and types of what is read.

    Raises:
        UserError: Naming the first record that is wrong.
    """
    unique([(row.where, _id(row, "id")) for row in _records(source, "images", where)])
    for row in _records(source, "images", where):
        row.text("file_name")
    categories = {_id(row, "id"): row.text("name") for row in _records(source, "categories", where)}
    for row in _records(source, "annotations", where):
        _id(row, "id"), _id(row, "image_id")
        if "caption" in row.fields:
            row.text("caption")
        is_caption = "caption" in row.fields and "categories" not in source
        if not is_caption and _id(row, "category_id") not in categories:
            raise UserError(f"{row.where}: has no category {row['category_id']}")


def _id(row: Row, name: str) -> int:
    """Return a whole number; unlike in other files, digits in quotes are none."""
    if not isinstance(row[name], int):
        raise UserError(f"{row.where}: {name!r} is {shown(row[name])}, not a whole number")
    return row.number(name)


def _records(source: Mapping[str, Any], part: str, where: str) -> Iterator[Row]:
    """Yield the records of a part; one that is not there has none."""
    records = source.get(part, [])
    if not isinstance(records, list):
        raise UserError(f"{where}: {part!r} is malformed: it is not a list")
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise UserError(f"{where}: {part} {number} is malformed: it is not an object")
        yield Row(f"{where}, {part} {number}", record)


def objects(instances: COCO, images: Iterable[int] | None = None) -> dict[int, list[str]]:
    """Return the category names of every image, one per annotation (crowds too), in file order.

    Raises:
        UserError: If the annotations are captions.
    """
    ids = instances.getImgIds() if images is None else images
    categories = instances.dataset.get("categories", ())
    names = {category["id"]: category["name"] for category in categories}
    return {
        image: [names[note["category_id"]] for note in _notes(instances, image, "instances")]
        for image in ids
    }


def captions(captions: COCO, images: Iterable[int] | None = None) -> dict[int, list[str]]:
    """Return the human captions of every image, in file order.

    Raises:
        UserError: If the annotations are objects.
    """
    ids = captions.getImgIds() if images is None else images
    return {
        image: [note["caption"] for note in _notes(captions, image, "captions")] for image in ids
    }


def _notes(coco: COCO, image: int, kind: str) -> Iterator[Row]:
    """Yield an image's annotations; what they do not hold is an error."""
    return (Row(f"COCO's {kind}, image {image}", fields) for fields in coco.imgToAnns[image])


def image_objects(instances: COCO) -> list[ImageObjects]:
    """Return the distinct categories of every image, in the order of annotation."""
    files = {image["id"]: image["file_name"] for image in instances.dataset["images"]}
    return [
        ImageObjects(files[image], tuple(dict.fromkeys(names)))
        for image, names in objects(instances).items()
    ]
