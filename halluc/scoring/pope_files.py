"""POPE's question, label and answer files."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError
from halluc.samples import Answer
from halluc.scoring.official import Row, align, rows, unique
from halluc.scoring.pope import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from halluc.scoring.official import OfficialFiles


def label_of(row: Row) -> str:
    """The label of a question.

    Raises:
        UserError: If it is neither yes nor no; the official scorer takes anything for yes.
    """
    label = str(row["label"]).strip().lower()
    if label not in {"yes", "no"}:
        raise UserError(f"{row.where}: label {row['label']!r} is neither yes nor no")
    return label


def read_answers(files: OfficialFiles) -> list[Answer]:
    """Pair answer lines with label lines.

    Answers are JSON lines with "answer" (official), "text" (LLaVA, VCD) or "ans" (PAI). Labels are
    a question file, or stand in the answers themselves (PAI). A label file with gaps in its
    question ids is a corrected one (RePOPE): questions it lacks are left out.

    Raises:
        UserError: If a line is wrong; see `halluc.scoring.official.align`.
    """
    answers = rows(files.answers)
    if files.labels is None and "label" in answers[0].fields:
        labels = answers
    else:
        labels = rows(files.require("labels", "the question file with the right answers"))
    asked = [(row.where, _id(row, number)) for number, row in enumerate(labels, 1)]
    given = [(row.where, _id(row, number)) for number, row in enumerate(answers, 1)]
    if _has_gaps([id for _, id in asked]):
        position = unique(asked)
        _ordered(given)
        pairs = [(n, position[id]) for n, (_, id) in enumerate(given) if id in position]
        answered = {id for _, id in given}
        late = [id for _, id in asked if id not in answered and id < given[-1][1]]
        if late:
            raise UserError(f"{files.answers}: question {late[0]!r} has no answer")
    else:
        pairs = align(given, asked)
    split = _split(files)
    return [_answer(answers[a], labels[q], asked[q][1], split) for a, q in pairs]


def _id(row: Row, number: int) -> Any:
    id = row.fields.get("question_id", number)
    return int(id) if isinstance(id, str) and id.isdigit() else id


def _has_gaps(ids: Sequence[Any]) -> bool:
    return all(isinstance(id, int) for id in ids) and any(b > a + 1 for a, b in pairwise(ids))


def _ordered(given: Sequence[tuple[str, Any]]) -> None:
    unique(given)
    for (_, before), (where, after) in pairwise(given):
        if after < before:
            raise UserError(f"{where}: answers question {after!r} out of order; is it reordered?")


def _split(files: OfficialFiles) -> str:
    """The strategy the files are named after, where they are."""
    names = f"{files.labels.name if files.labels else ''} {files.answers.name}"
    return next((strategy for strategy in STRATEGIES if strategy in names), "all")


def _answer(row: Row, question: Row, id: Any, split: str) -> Answer:
    text = row.text("answer", "ans") if question is row else row.text("answer", "ans", "text")
    prompt = str(question.fields.get("text", ""))
    echoed = str(row.fields.get("question", row.fields.get("prompt", prompt)))
    if _bare(prompt) not in _bare(echoed):
        raise UserError(f"{row.where}: answers {echoed!r}, but {question.where} asks {prompt!r}")
    return Answer(
        id=f"{split}/{id}",
        # without images each question stands for itself, and intervals are a little too narrow
        image_id=str(question.fields.get("image", f"question {id}")),
        group=split,
        prompt=prompt,
        target=label_of(question),
        text=text,
    )


def _bare(question: str) -> str:
    """A question without what variants of the files differ in: "imange", case, the end."""
    return question.replace("imange", "image").lower().split("?")[0].strip()


def relabel(answers: Iterable[Answer], labels: Mapping[str, Mapping[int, str]]) -> list[Answer]:
    """Give stored answers other labels, such as RePOPE's; questions without one are left out.

    Args:
        answers: Of a POPE run; ids are "split/question_id".
        labels: A split to its labels by question id.
    """
    relabelled = []
    for answer in answers:
        split, _, number = answer.id.rpartition("/")
        label = labels.get(split, {}).get(int(number))
        if label is not None:
            relabelled.append(replace(answer, target=label))
    return relabelled


def read_labels(path: Path) -> dict[int, str]:
    """The labels of a question file by question id.

    Raises:
        UserError: If an id occurs twice or a label is neither yes nor no.
    """
    questions = rows(path)
    unique([(row.where, row["question_id"]) for row in questions])
    return {int(row["question_id"]): label_of(row) for row in questions}
