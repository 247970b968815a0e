"""A user's own table in a folder of images: one CSV, JSON or JSON lines, with columns by name."""

from __future__ import annotations

import json
import re
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from halluc.data.image_folder import ImageFolder
from halluc.data.records import Row, rows, table
from halluc.errors import UserError
from halluc.plain_text import printable
from halluc.validation import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SUFFIXES = (".csv", ".json", ".jsonl")


def folder_name(folder: Path) -> str:
    """Return a folder's name as names of runs hold it: letters, digits and underscores."""
    return re.sub(r"\W+", "_", folder.expanduser().resolve().name).strip("_") or "data"


def find_table(folder: Path, name: str = "") -> Path:
    """Return the only table that lies in a folder itself, or the one with a name.

    Args:
        name: Its path below the folder; "" for the only one.

    Raises:
        UserError: If it is missing, or there are several and none is named.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: is not a folder; give the one with the images and the table")
    if name:
        path = folder / name
        if path.suffix.lower() not in SUFFIXES:
            raise UserError(f"table={name}: is none of {', '.join(SUFFIXES)}")
        if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"table={name}: is not a file below {folder}")
        return path
    found = [path for path in sorted(folder.iterdir()) if _is_table(path)]
    if not found:
        raise UserError(
            f"{folder}: has no table; put one CSV, JSON or JSONL next to the images, or name one "
            "below the folder: table=FILE"
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UserError(
            f"{folder}: has {len(found)} tables, {names}; say which: table={found[0].name}"
        )
    return found[0]


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")


def read_table(path: Path) -> list[Row]:
    """Read the rows of a table, in their order.

    Raises:
        UserError: If it is broken; names the line.
    """
    return table(path, ()) if path.suffix.lower() == ".csv" else rows(path)


def cell(row: Row, column: str, option: str) -> str:
    """Return what a column holds, as text without spaces around it; a number as it is written.

    Args:
        option: The option that names the column, for the error.

    Raises:
        UserError: If there is no such column, or it holds nothing or no text.
    """
    if column not in row.fields:
        listed = ", ".join(printable(name) for name in list(row.fields)[:20])
        raise UserError(
            f"{row.where}: has no column {shown(column)}, only {listed}; name it: {option}=COLUMN"
        )
    value = row.fields[column]
    if isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)):
        value = json.dumps(value)
    if not isinstance(value, str):
        raise UserError(f"{row.where}: column {shown(column)} holds {shown(value)}, not a text")
    if not value.strip():
        raise UserError(f"{row.where}: column {shown(column)} is empty")
    return value.strip()


def listed(row: Row, column: str) -> list[str]:
    """Return what a column lists: texts in a list, in one written as JSON, or with ; between them.

    Nothing, and an empty list, is no texts.

    Raises:
        UserError: If it holds something else.
    """
    value = row.fields[column]
    if isinstance(value, str):
        value = _parsed(value)
    texts = [] if value is None else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UserError(
            f"{row.where}: column {shown(column)} holds {shown(value)}, not texts; write "
            '\'dog; cat\' or ["dog", "cat"]'
        )
    return [text.strip() for text in texts if text.strip()]


def names_in(row: Row, column: str) -> list[str]:
    """Return the names of things that a column lists.

    Raises:
        UserError: If it holds something else, or they stand between commas.
    """
    names = listed(row, column)
    if isinstance(row.fields[column], str) and len(names) == 1 and "," in names[0]:
        right = "; ".join(part.strip() for part in names[0].split(","))
        raise UserError(
            f"{row.where}: column {shown(column)} holds {shown(names[0])}; separate things by ;, "
            f"as in {shown(right)}"
        )
    return names


def _parsed(text: str) -> object:
    if text.strip().startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text.split(";")


def with_images(
    records: Sequence[Row], images: ImageFolder, column: str
) -> Iterator[tuple[str, str, Row]]:
    """Yield for each row an id, its image's path below the folder, and the row.

    The id is of the image and of how many rows before are about it, so that rows about other
    images can come and go.

    Raises:
        UserError: If an image is missing; names the line and the column.
    """
    before: dict[str, int] = {}
    for row in records:
        name = cell(row, column, "image_column")
        images.find(name, f"{row.where}, column {shown(column)}")
        image = images.inside(name)
        before[image] = before.get(image, 0) + 1
        yield f"{image}/{before[image]}", image, row
