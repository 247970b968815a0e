"""MME's folders: of questions and images, and of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halluc.data.records import text_of
from halluc.errors import UserError
from halluc.scoring.mme.metric import ROWS
from halluc.types import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from halluc.scoring.answer_files import AnswerFiles


def read_answers(files: AnswerFiles) -> list[Answer]:
    """Read a folder of `<subtask>.txt`, or one such file: image, question, truth, response.

    Lines come in pairs about one image. The official scorer pairs them by position alone; here a
    pair of two images is an error, and so is a subtask with too few or too many lines.

    Raises:
        UserError: If a file or line is wrong.
    """
    path = files.answers
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    paths = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    if not paths:
        raise UserError(f"{path}: has no <subtask>.txt")
    found: dict[str, Path] = {}
    for file in paths:
        subtask = subtask_of(file)
        if subtask in found:
            raise UserError(f"{file}: answers {subtask} again, first in {found[subtask]}")
        found[subtask] = file
    return [answer for subtask, file in found.items() for answer in _answers(file, subtask)]


def subtask_of(path: Path) -> str:
    """The subtask a file is named after, whatever stands before it ("lavin_color.txt").

    Raises:
        UserError: If it is named after none.
    """
    names = [name for name in ROWS if path.stem == name or path.stem.endswith(f"_{name}")]
    if not names:
        raise UserError(f"{path}: is named after no subtask of MME ({', '.join(ROWS)})")
    return names[0]


def _answers(path: Path, subtask: str) -> Iterator[Answer]:
    lines = text_of(path).splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    before = ""
    for number, line in enumerate(lines, 1):
        where = f"{path} line {number}"
        fields = line.split("\t")
        if len(fields) != 4:
            raise UserError(f"{where}: {len(fields)} fields, not image, question, truth, response")
        image, question, truth, text = fields
        if truth.strip().lower() not in {"yes", "no"}:
            raise UserError(f"{where}: truth {truth!r} is neither Yes nor No")
        if number % 2 == 0 and image != before:
            raise UserError(f"{where}: {image} follows {before}: lines are not in pairs")
        before = image
        yield Answer(
            id=f"{subtask}/{number:04d}",
            image_id=f"{subtask}/{image}",
            group=subtask,
            prompt=question,
            target=truth.strip().lower(),
            text=text,
        )
    if len(lines) != ROWS[subtask]:
        raise UserError(
            f"{path}: {len(lines)} lines, {subtask} has {ROWS[subtask]}: truncated or extended?"
        )


def read_questions(folder: Path, subtask: str) -> list[tuple[str, str, str]]:
    """Read a subtask of the official release: a text file an image, a line a question.

    Args:
        folder: Holds a folder per subtask, with images and text files side by side, or in
            `images` and `questions_answers_YN`.

    Returns:
        Image file, question and "yes" or "no", two of each image in a row.

    Raises:
        UserError: If something is missing or malformed.
    """
    place = folder / subtask
    texts = place / "questions_answers_YN"
    texts = texts if texts.is_dir() else place
    found = []
    for path in sorted(texts.glob("*.txt")):
        lines = [line for line in text_of(path).splitlines() if line.strip()]
        if len(lines) != 2:
            raise UserError(f"{path}: {len(lines)} questions, MME asks two of an image")
        for number, line in enumerate(lines, 1):
            question, tab, truth = line.rpartition("\t")
            if not tab or truth.strip().lower() not in {"yes", "no"}:
                raise UserError(f"{path} line {number}: is no question, tab, Yes or No")
            found.append((path.stem, question, truth.strip().lower()))
    if not found:
        raise UserError(f"{place}: has no questions; MME's release has a text file an image there")
    return found
