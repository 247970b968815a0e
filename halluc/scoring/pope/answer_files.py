"""POPE's question, label and answer files."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from halluc.data.records import Row, align, rows, unique
from halluc.errors import UserError
from halluc.scoring.pope.questions import STRATEGIES
from halluc.types import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from halluc.scoring.answer_files import AnswerFiles


def label_of(row: Row, name: str = "label") -> str:
    """The label of a question: yes or no, or 1 or 0 as PAI writes them.

    Raises:
        UserError: If it is neither; the official scorer takes anything for yes.
    """
    label = str(row[name]).strip().lower()
    label = {"1": "yes", "0": "no"}.get(label, label)
    if label not in {"yes", "no"}:
        raise UserError(f"{row.where}: {name} {row[name]!r} is neither yes nor no")
    return label


def strategy_of(*names: str) -> str | None:
    """The strategy that files are named after, None where they are named after none.

    Raises:
        UserError: If they are named after different ones.
    """
    found = {strategy for name in names for strategy in STRATEGIES if strategy in name}
    if len(found) > 1:
        raise UserError(f"{' and '.join(names)} are named after different splits of POPE")
    return found.pop() if found else None


def read_questions(path: Path) -> list[Row]:
    """Read questions, one a line, or all of an image in a line as PAI's chat files have them.

    Raises:
        UserError: If a question lacks a field, or two have the same id.
    """
    questions: list[Row] = []
    for row in rows(path):
        if isinstance(row["text"], list):
            questions += _conversation(row, first=len(questions) + 1)
        else:
            questions.append(row)
    for row in questions:
        label_of(row)
        row.text("image"), row.text("text")
    unique([(row.where, row.id("question_id")) for row in questions])
    return questions


def _conversation(row: Row, first: int) -> list[Row]:
    texts, labels = row["text"], row["label"]
    if not isinstance(labels, list) or len(labels) != len(texts):
        raise UserError(f"{row.where}: {len(texts)} questions need as many labels")
    return [
        Row(row.where, {"question_id": n, "image": row["image"], "text": text, "label": label})
        for n, (text, label) in enumerate(zip(texts, labels, strict=True), first)
    ]


def read_answers(files: AnswerFiles, notes: list[str]) -> list[Answer]:
    """Pair answer lines with label lines.

    Answers are JSON lines with "answer" (official), "text" (LLaVA, VCD) or "ans" (PAI). Labels are
    a question file, or stand in the answers themselves (PAI). A label file with gaps in its
    question ids is a corrected one (RePOPE): questions it lacks are left out.

    Args:
        notes: Gets what the files cannot tell.

    Raises:
        UserError: If a line is wrong; see `halluc.data.records.align`.
    """
    answers = rows(files.answers)
    if files.labels is None and "label" in answers[0].fields:
        labels, names = answers, [files.answers.name]
        notes.append("labels stand in the answers: none can be missed, and none can be compared")
    else:
        labels = rows(files.require("labels", "the question file with the right answers"))
        names = [files.answers.name, files.require("labels", "").name]
    split = strategy_of(*names) or "all"
    with_image = "image" in labels[0].fields
    if not with_image:
        notes.append("no images named: intervals resample questions and are too narrow")
    asked = [(row.where, _id(row, number)) for number, row in enumerate(labels, 1)]
    given = [(row.where, _id(row, number)) for number, row in enumerate(answers, 1)]
    if not any("question_id" in row.fields for row in answers):
        notes.append("no question ids: answers are paired with questions by line")
    whole = {id for _, id in given} == {id for _, id in asked}
    if not whole and _has_gaps([id for _, id in asked]):
        pairs = _corrected(given, asked)
        if left := len(given) - len(pairs):
            notes.append(f"{left} answers have no label in {names[-1]} and are left out")
    else:
        pairs = align(given, asked)
    return [_answer(answers[a], labels[q], asked[q][1], split, with_image) for a, q in pairs]


def _id(row: Row, number: int) -> Any:
    return row.id("question_id") if "question_id" in row.fields else number


def _has_gaps(ids: Sequence[Any]) -> bool:
    return all(isinstance(id, int) for id in ids) and any(b > a + 1 for a, b in pairwise(ids))


def _corrected(
    given: Sequence[tuple[str, Any]], asked: Sequence[tuple[str, Any]]
) -> list[tuple[int, int]]:
    """Pair answers to a whole question file with the labels that are left of it."""
    for due, (where, id) in enumerate(given, 1):
        if id != due:
            raise UserError(f"{where}: answers question {id!r}, {due} is due; is it reordered?")
    position = unique(asked)
    beyond = [(where, id) for where, id in asked if not 1 <= id <= len(given)]
    if beyond:
        where, id = beyond[0]
        raise UserError(f"{where}: question {id!r} has no answer; are the answers truncated?")
    return [(n, position[id]) for n, (_, id) in enumerate(given) if id in position]


def _answer(row: Row, question: Row, id: Any, split: str, with_image: bool) -> Answer:
    text = row.text("answer", "ans") if question is row else row.text("answer", "ans", "text")
    prompt = question.text("text") if question is not row and "text" in question.fields else ""
    echoed = [row.text(name) for name in ("query", "question", "prompt") if name in row.fields]
    if echoed and bare(prompt) not in bare(echoed[0]):
        raise UserError(f"{row.where}: answers {echoed[0]!r}, but {question.where} asks {prompt!r}")
    return Answer(
        id=f"{split}/{id}",
        # without images each question stands for itself, and intervals are a little too narrow
        image_id=question.text("image") if with_image else f"question {id}",
        group=split,
        prompt=prompt or (echoed[0] if echoed else ""),
        target=label_of(question),
        text=text,
    )


def bare(question: str) -> str:
    """A question without what variants of the files differ in: "imange", case, the end."""
    return question.replace("imange", "image").lower().split("?")[0].strip()
