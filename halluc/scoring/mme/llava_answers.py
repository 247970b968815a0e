"""MME's answers as LLaVA writes them: JSON lines of question_id "subtask/image", prompt and text.

The rule is that of LLaVA's scripts/convert_answer_to_mme.py: an answer belongs to the question of
its image that it repeats, whatever stands between the question and the request for yes or no.
"""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from halluc.data.records import text_of
from halluc.errors import UserError
from halluc.scoring.answer_files import QUESTIONS, answer_of
from halluc.scoring.mme.answer_files import (
    Question,
    lines_of,
    read_questions,
    subtask_files,
    subtask_of,
)
from halluc.scoring.mme.metric import ROWS
from halluc.types import Answer
from halluc.validation import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from halluc.data.records import Row
    from halluc.scoring.answer_files import AnswerFiles

REQUESTS = (
    "answer the question using a single word or phrase.",
    "please answer yes or no.",
    "please just answer yes or no.",
    "please answer this question with one word.",
)
"""What is added to MME's questions, in lower case."""


class Asked(NamedTuple):
    """What an answer is to: a subtask, an image without its extension, a bare question."""

    subtask: str
    image: str
    question: str


def is_json(path: Path) -> bool:
    """Return whether a path is a file of JSON records, and not MME's own text."""
    return path.is_file() and text_of(path).lstrip()[:1] in ("{", "[")


def json_answers(files: AnswerFiles) -> list[Answer]:
    """Read lines of question_id, prompt and text, with `--labels` MME's questions.

    Those are the authors' release, or a folder of `<subtask>.txt` as their evaluation tool has.

    Raises:
        UserError: If an answer is to no question or to one that is answered already, or a question
            of a subtask that is answered has none.
    """
    records = files.rows()
    if files.labels is None and all("label" in row.fields for row in records):
        return _labelled(records)
    path = files.require("labels", "MME's release, or the <subtask>.txt of its evaluation tool")
    answered: dict[Asked, Row] = {}
    for row in records:
        asked = _asked(row)
        if asked in answered:
            raise UserError(
                f"{row.where}: answers a question again, first at {_at(answered, asked)}"
            )
        answered[asked] = row
    subtasks = dict.fromkeys(asked.subtask for asked in answered)
    return [answer for name in subtasks for answer in _answers(name, path, answered, files.answers)]


def _labelled(records: Sequence[Row]) -> list[Answer]:
    """Take the truth from the answers themselves, to two questions about each image."""
    pairs: dict[tuple[str, str], list[Row]] = {}
    for row in records:
        pairs.setdefault(_place(row), []).append(row)
    answers: list[Answer] = []
    for (subtask, image), pair in sorted(pairs.items()):
        if len(pair) != 2:
            raise UserError(
                f"{pair[-1].where}: {subtask}/{image} has {len(pair)} answers, not two; truncated?"
            )
        asked = [bare(row.text(*reversed(QUESTIONS))) for row in pair]
        if asked[0] == asked[1]:
            raise UserError(
                f"{pair[1].where}: {subtask}/{image} is asked {shown(asked[1])} again, first at "
                f"{pair[0].where}; MME asks two questions about it"
            )
        for row in pair:
            answers.append(
                Answer(
                    id=f"{subtask}/{len(answers):04d}",
                    image_id=f"{subtask}/{image}",
                    group=subtask,
                    prompt=row.text(*reversed(QUESTIONS)),
                    target=_truth(row),
                    text=answer_of(row),
                )
            )
    counts = Counter(answer.group for answer in answers)
    if odd := [name for name, n in counts.items() if n != ROWS[name]]:
        where, name = records[-1].where, odd[0]
        raise UserError(
            f"{where}: is the last; {name} has {counts[name]} of {ROWS[name]} answers: truncated?"
        )
    return answers


def _truth(row: Row) -> str:
    truth = row.text("label").strip().lower().removesuffix(".")
    if truth not in {"yes", "no"}:
        raise UserError(f"{row.where}: label {truth!r} is neither yes nor no")
    return truth


def _at(answered: dict[Asked, Row], asked: Asked) -> str:
    return answered[asked].where


def _answers(subtask: str, path: Path, answered: dict[Asked, Row], file: Path) -> Iterator[Answer]:
    left = {asked: row for asked, row in answered.items() if asked.subtask == subtask}
    for number, question in enumerate(_questions(path, subtask), 1):
        asked = Asked(subtask, _stem(question.image), bare(question.text))
        if asked not in left:
            raise UserError(
                f"{file}: {subtask}/{question.image} has no answer to {question.text!r}; truncated?"
            )
        row = left.pop(asked)
        yield Answer(
            id=f"{subtask}/{number:04d}",
            image_id=f"{subtask}/{question.image}",
            group=subtask,
            prompt=question.text,
            target=question.truth,
            text=answer_of(row),
        )
    if left:
        asked, row = next(iter(left.items()))
        raise UserError(f"{row.where}: {asked.question!r} is not asked about {asked.image}")


def _asked(row: Row) -> Asked:
    subtask, image = _place(row)
    return Asked(subtask, _stem(image), bare(row.text(*reversed(QUESTIONS))))


def _place(row: Row) -> tuple[str, str]:
    """Return the subtask and the image's file name."""
    id = row.text("question_id", "image", "image_id")
    subtask, slash, _ = id.partition("/")
    if not slash or subtask not in ROWS:
        raise UserError(
            f"{row.where}: {id!r} does not start with a subtask of MME, as in 'color/0001.jpg'"
        )
    return subtask, PurePosixPath(id).name


def _stem(image: str) -> str:
    return PurePosixPath(image).name.split(".")[0]


def bare(question: str) -> str:
    """Return a question without what is added to it, spaces and case."""
    text = " ".join(question.lower().split())
    while ends := [request for request in REQUESTS if text.endswith(request)]:
        text = text.removesuffix(ends[0]).strip()
    return text


def _questions(path: Path, subtask: str) -> list[Question]:
    """Read a subtask's questions from the release or from files of the evaluation tool."""
    files = [file for file in subtask_files(path) if subtask_of(file) == subtask]
    if not files:
        return read_questions(path, subtask)
    found = []
    for number, line in enumerate(lines_of(files[0]), 1):
        fields = line.split("\t")
        if not line.strip():
            continue
        if len(fields) < 3 or fields[2].strip().lower() not in {"yes", "no"}:
            raise UserError(f"{files[0]} line {number}: is not image, question, and Yes or No")
        found.append(Question(fields[0], fields[1], fields[2].strip().lower()))
    counts = Counter(question.image for question in found)
    odd = [image for image, n in counts.items() if n != 2]
    if odd or len(found) != ROWS[subtask]:
        where = f"{odd[0]} has {counts[odd[0]]}" if odd else f"there are {len(found)}"
        raise UserError(
            f"{files[0]}: {where} questions; {subtask} has {ROWS[subtask]}, two an image"
        )
    return found
