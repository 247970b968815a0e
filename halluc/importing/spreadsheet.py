"""The first sheet of an Excel workbook, read without a package for it.

A workbook is a zip of XML (ECMA-376): `xl/worksheets/sheet1.xml` holds the cells, and texts are
numbers into `xl/sharedStrings.xml`.
"""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from halluc.data.records import Row
from halluc.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

SPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def sheet_rows(path: Path) -> list[Row]:
    """Return the rows below the first, which names the columns; an empty cell is no field.

    Raises:
        UserError: If the file is not a workbook, or its sheet has no rows.
    """
    try:
        with zipfile.ZipFile(path) as book:
            names = book.namelist()
            strings = "xl/sharedStrings.xml"
            shared = _texts(book.read(strings)) if strings in names else []
            sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, KeyError, zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise UserError(f"{path}: is not an Excel workbook ({error})") from None
    cells = [{_column(c): _value(c, shared) for c in row} for row in sheet.iter(f"{SPACE}row")]
    if len(cells) < 2:
        raise UserError(f"{path}: its first sheet has no rows")
    names_by_column = {column: str(name) for column, name in cells[0].items()}
    return [
        Row(
            f"{path} row {number}",
            {n: row[c] for c, n in names_by_column.items() if row.get(c) is not None},
        )
        for number, row in enumerate(cells[1:], 2)
    ]


def _texts(raw: bytes) -> list[str]:
    items = ElementTree.fromstring(raw).iter(f"{SPACE}si")
    return [_unescaped("".join(t.text or "" for t in item.iter(f"{SPACE}t"))) for item in items]


def _unescaped(text: str) -> str:
    """Undo how characters that XML lacks are written: _x000D_ for a carriage return."""
    return re.sub(r"_x([0-9A-Fa-f]{4})_", lambda code: chr(int(code[1], 16)), text)


def _column(cell: Element) -> str:
    return re.sub(r"\d", "", cell.get("r", ""))


def _value(cell: Element, shared: list[str]) -> Any:
    kind, value = cell.get("t", "n"), cell.find(f"{SPACE}v")
    if kind == "inlineStr":
        return "".join(t.text or "" for t in cell.iter(f"{SPACE}t"))
    if value is None or value.text is None:
        return None
    if kind == "s":
        return shared[int(value.text)]
    if kind in ("str", "e", "b"):
        return value.text
    number = float(value.text)
    return int(number) if number.is_integer() else number
