"""Answers and questions paired by id.

The published scorers pair answers with questions by position and stop at the shorter list, so a
truncated or reordered file is scored silently. Here it is an error that names the line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from halluc.data.records import Row


def align(
    answers: Sequence[tuple[str, Any]], asked: Sequence[tuple[str, Any]]
) -> list[tuple[int, int]]:
    """Check that every question has its answer, in order.

    Args:
        answers: The line of each answer, and the id of its question.
        asked: The line of each question, and its id.

    Returns:
        The positions of each answer and its question.

    Raises:
        UserError: If an id is unknown or answered twice, or the file is reordered or truncated.
    """
    position = unique(asked)
    answered: dict[Any, str] = {}
    for where, id in answers:
        if id not in position:
            raise UserError(f"{where}: answers question {id!r}, which is not asked")
        if id in answered:
            raise UserError(f"{where}: answers question {id!r} again, first at {answered[id]}")
        answered[id] = where
    missing = [(where, id) for where, id in asked if id not in answered]
    order = [position[id] for _, id in answers]
    for before, after in zip(range(len(order)), order[1:], strict=False):
        if after < order[before]:
            where, id = answers[before + 1]
            raise UserError(f"{where}: answers question {id!r} out of order; is it reordered?")
    if missing:
        where, id = missing[0]
        raise UserError(
            f"{len(answers)} answers to {len(asked)} questions: {id!r} ({where}) has none; "
            f"is the file truncated?"
        )
    return list(enumerate(order))


def by_id(
    answers: Sequence[Row], name: str, asked: Collection[Any], needed: Iterable[Any] | None = None
) -> dict[Any, Row]:
    """Find answers by the id of their question, in any order.

    Args:
        name: The name of the id's field.
        asked: The ids of all questions.
        needed: The ids of the questions that must be answered; None for all.

    Raises:
        UserError: If an id is unknown or answered twice, or a needed one does not have an answer.
    """
    position = unique([(row.where, row.id(name)) for row in answers])
    for id, index in position.items():
        if id not in asked:
            raise UserError(f"{answers[index].where}: answers question {id!r}, which is not asked")
    for id in asked if needed is None else needed:
        if id not in position:
            raise UserError(
                f"{answers[-1].where}: is the last answer, and question {id!r} has none; truncated?"
            )
    return {id: answers[index] for id, index in position.items()}


def unique(entries: Sequence[tuple[str, Any]]) -> dict[Any, int]:
    """Return the position of each id.

    Args:
        entries: The line of each record, and its id.

    Raises:
        UserError: If an id occurs twice.
    """
    position: dict[Any, int] = {}
    for number, (where, id) in enumerate(entries):
        if id in position:
            raise UserError(f"{where}: id {id!r} again, first at {entries[position[id]][0]}")
        position[id] = number
    return position


def image_id(id: Any) -> str:
    """Return an image id as digits: 139, "139" and "COCO_val2014_000000000139.jpg" are alike.

    Folders before a file's name do not count, and a name that does not end in digits stays.
    """
    digits = re.split(r"[/\\_]", str(id))[-1].split(".")[0]
    return str(int(digits)) if digits.isdecimal() and len(digits) < 20 else str(id)
