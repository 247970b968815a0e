"""The first sheet of an Excel workbook, read without a package for it.

A workbook is a zip of XML (ECMA-376): `xl/worksheets/sheet1.xml` holds the cells, and texts are
numbers into `xl/sharedStrings.xml`.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from halluc.data.records import Row
from halluc.errors import UserError
from halluc.importing.zip_files import DAMAGED
from halluc.validation import shown

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

SPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def sheet_rows(path: Path) -> list[Row]:
    """Return the rows below the first, which names the columns; an empty cell is an empty text.

    Writers leave out the cells of empty texts. A row without any cell is left out.

    Raises:
        UserError: If the file is not a workbook or is damaged, its sheet has no rows, or two
            columns have one name.
    """
    try:
        with zipfile.ZipFile(path) as book:
            inside = book.namelist()
            strings = "xl/sharedStrings.xml"
            shared = _texts(book.read(strings)) if strings in inside else []
            sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (*DAMAGED, KeyError, ElementTree.ParseError) as error:
        raise UserError(f"{path}: is not an Excel workbook ({error})") from None
    found = list[tuple[str, dict[str, Any]]]()
    for number, row in enumerate(sheet.iter(f"{SPACE}row"), 1):
        where = f"{path} row {row.get('r', number)}"
        cells = {_column(cell, at): _value(cell, shared, where) for at, cell in enumerate(row)}
        if found and all(value is None for value in cells.values()):
            continue
        found.append((where, cells))
    if len(found) < 2:
        raise UserError(f"{path}: its first sheet has no rows")
    (first, header), *below = found
    names = {column: str(name) for column, name in header.items() if name is not None}
    if twice := [name for name, n in Counter(names.values()).items() if n > 1]:
        raise UserError(f"{first}: two columns are named {shown(twice[0])}; keep one")
    return [
        Row(where, {n: "" if (v := cells.get(c)) is None else v for c, n in names.items()})
        for where, cells in below
    ]


def _texts(raw: bytes) -> list[str]:
    items = ElementTree.fromstring(raw).iter(f"{SPACE}si")
    return [_unescaped("".join(t.text or "" for t in item.iter(f"{SPACE}t"))) for item in items]


def _unescaped(text: str) -> str:
    """Undo how characters that XML lacks are written: _x000D_ for a carriage return."""
    found = re.sub(r"_x([0-9A-Fa-f]{4})_", lambda code: chr(int(code[1], 16)), text)
    return found.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _column(cell: Element, at: int) -> str:
    """Return a cell's column by its letters; by its place where it does not say them."""
    return re.sub(r"\d", "", cell.get("r", "")) or str(at)


def _value(cell: Element, shared: list[str], where: str) -> Any:
    kind, value = cell.get("t", "n"), cell.find(f"{SPACE}v")
    if kind == "inlineStr":
        return _unescaped("".join(t.text or "" for t in cell.iter(f"{SPACE}t")))
    if value is None or value.text is None:
        return None
    if kind in ("str", "e", "b", "d"):
        return value.text
    try:
        number = float(value.text)
    except ValueError:
        raise UserError(
            f"{where}: cell {cell.get('r')} holds {shown(value.text)}, not a number"
        ) from None
    if kind != "s":
        return int(number) if number.is_integer() else number
    if not 0 <= number < len(shared):
        raise UserError(
            f"{where}: cell {cell.get('r')} is text {shown(value.text)} of {len(shared)}; is the "
            "workbook damaged?"
        )
    return shared[int(number)]
