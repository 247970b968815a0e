"""Records of a file, each with its line, so that errors can name it."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from halluc.errors import UserError
from halluc.plain_text import printable
from halluc.validation import json_value, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

T = TypeVar("T", dict[str, Any], list[Any])

V = TypeVar("V")
_HALVES = re.compile(r"\\u[dD][89a-fA-F]")
_DIGITS = 1000
"""Longer ids of digits stay texts: Python turns no more than 4300 into a number."""


@dataclass(frozen=True)
class Row:
    """A record of a file, and the line it starts on."""

    where: str
    fields: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        if name not in self.fields:
            raise UserError(f"{self.where}: has no {shown(name)}, only {_listed(self.fields)}")
        return self.fields[name]

    def id(self, name: str) -> int | str:
        """Return an id; digits are a number, in quotes or not.

        Raises:
            UserError: If the field is missing or is not an id.
        """
        value = self[name]
        if isinstance(value, str) and value.isdecimal() and len(value) <= _DIGITS:
            return int(value)
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise UserError(f"{self.where}: {shown(name)} is {shown(value)}, not an id")
        return value

    def number(self, name: str) -> int:
        """Return a whole number.

        Raises:
            UserError: If the field is missing or is not a whole number.
        """
        value = self.id(name)
        if not isinstance(value, int):
            raise UserError(f"{self.where}: {shown(name)} is {shown(value)}, not a whole number")
        return value

    def texts(self, name: str) -> list[str]:
        """Return a list of texts.

        Raises:
            UserError: If the field is missing or is not a list of texts.
        """
        value = self[name]
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise UserError(f"{self.where}: {shown(name)} is {shown(value)}, not a list of texts")
        return value

    def text(self, *names: str) -> str:
        """Return the text under the first of these names that the record has.

        Raises:
            UserError: If it has none of them, or not a text there: a missing answer is not an
                empty one.
        """
        for name in names:
            if name in self.fields:
                value = self.fields[name]
                if not isinstance(value, str):
                    raise UserError(f"{self.where}: {shown(name)} is {shown(value)}, not a text")
                return value
        raise UserError(f"{self.where}: needs {' or '.join(map(repr, names))}")


def _listed(names: Iterable[object]) -> str:
    """Return the first names of a record, for errors."""
    every = [printable(name) for name in names]
    return ", ".join(every[:20]) + (", ..." if len(every) > 20 else "") or "nothing"


def finite(value: Any) -> Any:
    """Replace nan and infinity by None, which is what JSON has for them, inside and out."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value


def whole_characters(value: V, where: str) -> V:
    """Return a value from JSON, which may escape half of a character that takes two codes.

    A byte of a file's name that is no text is kept as Python reads it, U+DC80 to U+DCFF.

    Raises:
        UserError: If it does; no file can hold that.
    """
    try:
        json.dumps(value, ensure_ascii=False).encode(errors="surrogateescape")
    except UnicodeEncodeError as error:
        half = error.object[error.start].encode("unicode_escape").decode()
        raise UserError(
            f"{where}: has half of a character, {half}; write the other half, or take it out"
        ) from None
    return value


def text_of(path: Path) -> str:
    """Read a text file, gzipped or not, whatever its name.

    Raises:
        UserError: If it is missing or is not a text.
    """
    try:
        raw = path.read_bytes()
        packed = path.suffix == ".gz" or raw.startswith(b"\x1f\x8b")
        return (gzip.decompress(raw) if packed else raw).decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None


def json_of(path: Path, kind: type[T]) -> T:
    """Read a JSON file as a whole.

    Args:
        kind: The type of its content: dict or list.

    Raises:
        UserError: If it is missing or holds something else.
    """
    try:
        text = text_of(path)
        content = json_value(text)
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from None
    if not isinstance(content, kind):
        right = {dict: "an object", list: "an array"}[kind]
        raise UserError(f"{path}: is not {right} in JSON but {type(content).__name__}")
    return whole_characters(content, str(path)) if _HALVES.search(text) else content


def rows(path: Path) -> list[Row]:
    """Read records: JSON lines, one JSON array, or JSON objects one after another.

    Raises:
        UserError: If something in it is not a JSON object; names the line.
    """
    text, decoder = text_of(path), json.JSONDecoder()
    halves = _HALVES.search(text) is not None
    records: list[Row] = []
    position, line, last = 0, 1, 0
    inside = text.lstrip().startswith("[")
    skipped = " \t\r\n" + ("[,]" if inside else "")
    while True:
        start = position
        while position < len(text) and text[position] in skipped:
            position += 1
        line += text.count("\n", start, position)
        if position == len(text):
            break
        try:
            record, end = decoder.raw_decode(text, position)
        except ValueError:
            raise UserError(f"{path} line {line}: not JSON; is the file truncated?") from None
        except RecursionError:
            raise UserError(f"{path} line {line}: JSON that is nested too deeply") from None
        where = f"{path} line {line}"
        if line == last:  # an array written on one line
            where += f" record {len(records) + 1}"
        if not isinstance(record, dict):
            raise UserError(f"{where}: is not a JSON object but {shown(record)}")
        records.append(Row(where, whole_characters(record, where) if halves else record))
        last = line
        line += text.count("\n", position, end)
        position = end
    if inside and not text.rstrip().endswith("]"):
        raise UserError(f"{path} line {line}: the JSON array is not closed; is the file truncated?")
    if not records:
        raise UserError(f"{path}: is empty")
    return records


def table(path: Path, columns: Sequence[str], delimiter: str = ",") -> list[Row]:
    """Read a CSV file.

    Args:
        columns: The columns that it must have.
        delimiter: What stands between them.

    Raises:
        UserError: If a column is missing, two have one name, a row is shorter or longer than the
            first, or the file ends within quotes; names the line.
    """
    text = text_of(path)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    records = []
    try:
        names = reader.fieldnames or ()
        for column in dict.fromkeys((*columns, *filter(None, names))):
            if names.count(column) != 1:
                how = "two columns" if column in names else "no column"
                raise UserError(f"{path}: has {how} {column!r}, only {_listed(names)}")
        for record in reader:
            if None in record or None in record.values():
                raise UserError(
                    f"{path} line {reader.line_num}: does not have {len(names)} fields; "
                    f"is it truncated?"
                )
            records.append(Row(f"{path} line {reader.line_num}", dict(record)))
    except csv.Error as error:
        raise UserError(f"{path} line {reader.line_num}: {error}") from None
    if _ends_in_quotes(text, delimiter):
        raise UserError(f"{path} line {reader.line_num}: ends within quotes; is it truncated?")
    if not records:
        raise UserError(f"{path}: is empty")
    return records


def _ends_in_quotes(text: str, delimiter: str) -> bool:
    """Return whether a CSV file's last quotes are not closed, which lenient reading lets pass."""
    try:
        for _ in csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter):
            pass
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False
