"""POPE's question, label and answer files."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from halluc.data.pairing import align, unique
from halluc.data.records import Row, rows
from halluc.errors import UserError
from halluc.scoring.pope.questions import STRATEGIES
from halluc.types import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from halluc.scoring.answer_files import AnswerFiles


def label_of(row: Row, name: str = "label") -> str:
    """Return the label of a question: yes or no, or 1 or 0 as PAI writes them.

    Raises:
        UserError: If it is neither; the published scorer counts anything as yes.
    """
    label = str(row[name]).strip().lower()
    label = {"1": "yes", "0": "no"}.get(label, label)
    if label not in {"yes", "no"}:
        raise UserError(f"{row.where}: {name} {row[name]!r} is neither yes nor no")
    return label


def strategy_of(*names: str) -> str | None:
    """Return the strategy that files are named after; None if their names do not have one.

    Raises:
        UserError: If the names have different strategies.
    """
    named = {strategy for name in names for strategy in STRATEGIES if strategy in name}
    if len(named) > 1:
        raise UserError(f"{' and '.join(names)} are named after different splits of POPE")
    return named.pop() if named else None


def read_questions(path: Path) -> list[Row]:
    """Read questions: one on each line, or all of an image on one, as in PAI's chat files.

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

    Answers are JSON lines with "answer" (POPE), "text" (LLaVA, VCD) or "ans" (PAI). Labels are a
    question file, or are in the answers themselves (PAI). A label file with gaps in its question
    ids is a corrected one (RePOPE): questions that it lacks are left out.

    Args:
        notes: A list that gets remarks on what the files lack.

    Raises:
        UserError: If a line is wrong; see `halluc.data.records.align`.
    """
    answers = rows(files.answers)
    if files.labels is None and "label" in answers[0].fields:
        labels, names = answers, [files.answers.name]
        notes.append("labels are in the answers: missing answers and wrong labels go unnoticed")
    else:
        labels = rows(files.require("labels", "the question file with the right answers"))
        names = [files.answers.name, files.require("labels", "").name]
    split = strategy_of(*names) or "all"
    with_image = "image" in labels[0].fields
    if not with_image:
        notes.append("no images named: intervals resample questions and are too narrow")
    asked = [(row.where, _id(row, number)) for number, row in enumerate(labels, 1)]
    answered = [(row.where, _id(row, number)) for number, row in enumerate(answers, 1)]
    if not any("question_id" in row.fields for row in answers):
        notes.append("no question ids: answers are paired with questions by line")
    whole = {id for _, id in answered} == {id for _, id in asked}
    if not whole and _has_gaps([id for _, id in asked]):
        pairs = _corrected(answered, asked)
        if left := len(answered) - len(pairs):
            notes.append(f"{left} answers have no label in {names[-1]} and are left out")
    else:
        pairs = align(answered, asked)
    return [_answer(answers[a], labels[q], asked[q][1], split, with_image) for a, q in pairs]


def _id(row: Row, number: int) -> Any:
    return row.id("question_id") if "question_id" in row.fields else number


def _has_gaps(ids: Sequence[Any]) -> bool:
    return all(isinstance(id, int) for id in ids) and any(b > a + 1 for a, b in pairwise(ids))


def _corrected(
    answered: Sequence[tuple[str, Any]], asked: Sequence[tuple[str, Any]]
) -> list[tuple[int, int]]:
    """Pair answers to a whole question file with the labels that a corrected one keeps."""
    for due, (where, id) in enumerate(answered, 1):
        if id != due:
            raise UserError(f"{where}: answers question {id!r}, not {due}; is it reordered?")
    position = unique(asked)
    beyond = [(where, id) for where, id in asked if not 1 <= id <= len(answered)]
    if beyond:
        where, id = beyond[0]
        raise UserError(f"{where}: question {id!r} has no answer; are the answers truncated?")
    return [(n, position[id]) for n, (_, id) in enumerate(answered) if id in position]


def _answer(row: Row, question: Row, id: Any, split: str, with_image: bool) -> Answer:
    text = row.text("answer", "ans") if question is row else row.text("answer", "ans", "text")
    prompt = question.text("text") if question is not row and "text" in question.fields else ""
    echoed = [row.text(name) for name in ("query", "question", "prompt") if name in row.fields]
    if echoed and bare(prompt) not in bare(echoed[0]):
        raise UserError(f"{row.where}: answers {echoed[0]!r}, but {question.where} asks {prompt!r}")
    return Answer(
        id=f"{split}/{id}",
        # without images each question is resampled by itself, so intervals are a little too narrow
        image_id=question.text("image") if with_image else f"question {id}",
        group=split,
        prompt=prompt or (echoed[0] if echoed else ""),
        target=label_of(question),
        text=text,
    )


def bare(question: str) -> str:
    """Return a question without the differences of file variants: "imange", case, the end."""
    return question.replace("imange", "image").lower().split("?")[0].strip()
