"""MME's files: questions with images, and answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from halluc.data.records import text_of
from halluc.errors import UserError
from halluc.plain_text import printable
from halluc.scoring.mme.metric import ROWS
from halluc.types import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from halluc.scoring.answer_files import AnswerFiles


class Question(NamedTuple):
    """A question: its image file without extension, its text, and the answer "yes" or "no"."""

    image: str
    text: str
    truth: str


def read_answers(files: AnswerFiles) -> list[Answer]:
    """Read a folder of `<subtask>.txt`, or one such file: image, question, truth, response.

    Lines come in pairs about one image. The published scorer pairs them by position alone; here a
    pair of two images is an error, and so is a subtask with too few or too many lines.

    Raises:
        UserError: If a file or line is wrong.
    """
    path = files.answers
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    paths = subtask_files(path)
    if not paths:
        raise UserError(f"{path}: has no <subtask>.txt")
    by_subtask: dict[str, Path] = {}
    for file in paths:
        subtask = subtask_of(file)
        if subtask in by_subtask:
            raise UserError(f"{file}: answers {subtask} again, first in {by_subtask[subtask]}")
        by_subtask[subtask] = file
    return [answer for subtask, file in by_subtask.items() for answer in _answers(file, subtask)]


def subtask_files(path: Path) -> list[Path]:
    """Return the text files of a folder, gzipped or not; a file is its own."""
    named = [*path.glob("*.txt"), *path.glob("*.txt.gz")] if path.is_dir() else [path]
    return sorted(named)


def subtask_of(path: Path) -> str:
    """Return the subtask that a file is named after, after any prefix ("lavin_color.txt").

    Raises:
        UserError: If the name does not end in a subtask.
    """
    stem = path.name.removesuffix(".gz").removesuffix(".txt")
    names = [name for name in ROWS if stem == name or stem.endswith(f"_{name}")]
    if not names:
        raise UserError(f"{path}: is not named after a subtask of MME ({', '.join(ROWS)})")
    return names[0]


def _answers(path: Path, subtask: str) -> Iterator[Answer]:
    lines = lines_of(path)
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
            pair = printable(f"{image} follows {before}")
            raise UserError(f"{where}: {pair}: lines are not in pairs")
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


def lines_of(path: Path) -> list[str]:
    """Split a file at its ends of lines alone: answers may hold other separators of Unicode."""
    return [line.removesuffix("\r") for line in text_of(path).split("\n")]


def read_questions(folder: Path, subtask: str) -> list[Question]:
    """Read a subtask of the authors' release: a text file for each image, a line for each question.

    Args:
        folder: Holds a folder for each subtask, with images and text files in it, or in `images`
            and `questions_answers_YN`.

    Returns:
        The questions, the two of each image in a row.

    Raises:
        UserError: If something is missing or malformed.
    """
    subfolder = folder / subtask
    texts = subfolder / "questions_answers_YN"
    texts = texts if texts.is_dir() else subfolder
    questions = []
    for path in sorted(texts.glob("*.txt")):
        lines = [line for line in lines_of(path) if line.strip()]
        if len(lines) != 2:
            raise UserError(f"{path}: {len(lines)} questions, MME has two for each image")
        for number, line in enumerate(lines, 1):
            question, tab, truth = line.rpartition("\t")
            if not tab or truth.strip().lower() not in {"yes", "no"}:
                raise UserError(f"{path} line {number}: is not a question, a tab, and Yes or No")
            questions.append(Question(path.stem, question, truth.strip().lower()))
    if not questions:
        raise UserError(f"{subfolder}: has no questions; MME's release has a text file per image")
    return questions
