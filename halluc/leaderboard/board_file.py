"""Boards as JSON files: those of this machine, and those that somebody else made."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from halluc.data.records import text_of
from halluc.errors import UserError
from halluc.files import write_whole
from halluc.leaderboard.board import SCHEMA_VERSION, Board
from halluc.plain_text import printable
from halluc.validation import json_value, shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

DEPTH = 32
"""Boards nest eight deep, and parameters of methods a little deeper."""


def write_board(board: Board, file: Path) -> None:
    """Write a board, replacing an earlier one as a whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, board.model_dump_json(indent=2) + "\n")


def read_board(file: Path) -> Board:
    """Read a board.

    Returns:
        A board that `write_board` can write and this function can read.

    Raises:
        UserError: If it is not one, or of another schema version; names the first field that is
            wrong.
    """
    try:
        content = json_value(text_of(file))
        version = content["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: not a board of halluc (JSON with a schema_version)") from error
    if type(version) is not int or version != SCHEMA_VERSION:
        raise UserError(
            f"{file}: a board of schema version {shown(version)}, this halluc reads "
            f"{SCHEMA_VERSION}; make it again from its runs"
        )
    if wrong := _unwritable(content):
        raise UserError(f"{file}: broken board, {wrong}")
    try:
        return Board.model_validate(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"].removeprefix("Value error, ").split("\n", 1)[0]
        raise UserError(
            f"{file}: broken board, {_place(first['loc'])}: {printable(reason)}"
        ) from error


def _unwritable(content: Any) -> str | None:
    """Return a place that has what no board of ours holds, and what that is; None without one."""
    waiting: list[tuple[tuple[int | str, ...], Any]] = [((), content)]
    while waiting:
        place, value = waiting.pop()
        if len(place) > DEPTH:
            return f"{_place(place[:3])}: nested too deeply"
        if isinstance(value, float) and not math.isfinite(value):
            return f"{_place(place)}: is {value}, not a number"
        if isinstance(value, str) and not _is_text(value):
            return f"{_place(place)}: is {shown(value)}, not a text"
        if isinstance(value, dict):
            if bad := next((key for key in value if not _is_text(key)), None):
                return f"{_place(place)}: has the name {shown(bad)}, not a text"
            waiting += [((*place, key), inner) for key, inner in value.items()]
        elif isinstance(value, list):
            waiting += [((*place, number), inner) for number, inner in enumerate(value)]
    return None


def _is_text(value: str) -> bool:
    """Return whether UTF-8 has the text: it has no halves of surrogate pairs."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _place(path: Iterable[int | str]) -> str:
    return printable(".".join(map(str, path)))
