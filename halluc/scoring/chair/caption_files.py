"""CHAIR's files: captions, and the objects of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from halluc.data import coco_objects as coco
from halluc.data.pairing import image_id, unique
from halluc.data.records import Row, json_of, rows
from halluc.errors import UserError
from halluc.plain_text import printable
from halluc.scoring.answer_files import answer_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Target = dict[str, list[str]]

IMAGES = ("image_id", "image", "image_file", "file_name")
"""What authors call an image's id or file in a record of its caption."""


class AnnotationFiles(NamedTuple):
    """COCO's instances files and captions files."""

    instances: list[Path]
    captions: list[Path]


def annotation_files(folder: Path) -> AnnotationFiles:
    """Return COCO's annotation files below a folder.

    Raises:
        UserError: If one of the two kinds is missing.
    """
    instances, captions = (sorted(folder.rglob(f"{k}_*.json")) for k in ("instances", "captions"))
    if not instances or not captions:
        raise UserError(f"{folder}: needs COCO's instances_*.json and captions_*.json below it")
    return AnnotationFiles(instances, captions)


def val2014(files: list[Path]) -> Path:
    """Return the only file, or the only one of val2014.

    Raises:
        UserError: If there are none or several.
    """
    chosen = files if len(files) == 1 else [path for path in files if "val2014" in path.name]
    if len(chosen) != 1:
        raise UserError(f"{', '.join(map(str, files))}: keep one of these files, or one of val2014")
    return chosen[0]


def read_truth(path: Path) -> dict[str, Target]:
    """Read the objects of images, by id: a file of objects, or a folder of COCO's annotations.

    Returns:
        {"objects": [...]}, or {"categories": [...], "captions": [...]} to find the objects in.

    Raises:
        UserError: If the path is neither.
    """
    if path.is_dir():
        return _annotated(path)
    sets = json_of(path, dict)
    unique([(str(path), image_id(id)) for id in sets])
    return {image_id(id): {"objects": Row(str(path), sets).texts(id)} for id in sets}


def _annotated(folder: Path) -> dict[str, Target]:
    instances, captions = annotation_files(folder)
    named: dict[int, list[str]] = {}
    said: dict[int, list[str]] = {}
    for path in instances:
        named |= coco.objects(coco.load(path))
    for path in captions:
        said |= coco.captions(coco.load(path))
    return {
        str(id): {"categories": names, "captions": said.get(id, [])} for id, names in named.items()
    }


def read_captions(
    path: Path, truth: dict[str, Target], source: Path, records: Sequence[Row] = ()
) -> list[tuple[str, str]]:
    """Read captions by image id: records of the image and the caption under any of their names.

    They are lines or a list, or inside what a scorer wrote: a list under "sentences" (chair.py), an
    object under "imgToEval" (coco-caption).

    Args:
        truth: The objects of images, read from `source`.
        records: What is in `path`, where it is known already.

    Raises:
        UserError: If an image is unknown (published scorers treat it as empty), captioned twice,
            or without a caption; names the line.
    """
    records = records or rows(path)
    if len(records) == 1:
        records = _scored(records[0], path) or records
    ids = [(record.where, _image(record)) for record in records]
    for where, id in ids:
        if id not in truth:
            raise UserError(f"{where}: image {printable(id)} is not in {source}")
    unique(ids)
    return [(id, answer_of(row, "caption")) for (_, id), row in zip(ids, records, strict=True)]


def _scored(record: Row, path: Path) -> list[Row]:
    """Return the captions inside a scorer's output; none if it is not one."""
    if "sentences" in record.fields:
        listed = record["sentences"]
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise UserError(f"{record.where}: sentences is not a list of records")
        return [Row(f"{path} sentence {n}", one) for n, one in enumerate(listed, 1)]
    if "imgToEval" in record.fields:
        inner = record["imgToEval"]
        if not isinstance(inner, dict) or not all(isinstance(r, dict) for r in inner.values()):
            raise UserError(f"{record.where}: imgToEval is not an object of records")
        return [Row(f"{path} image {printable(id)}", one) for id, one in inner.items()]
    return []


def _image(record: Row) -> str:
    name = next((name for name in IMAGES if name in record.fields), IMAGES[0])
    return image_id(record[name])
