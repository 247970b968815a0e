"""POPE's question, label and answer files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halluc.data.pairing import unique
from halluc.data.records import Row, rows
from halluc.errors import UserError
from halluc.scoring.answer_files import answer_of
from halluc.scoring.pope.label_sources import bare
from halluc.scoring.pope.split_pairing import labels_inside, pair, repeated
from halluc.types import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from halluc.scoring.answer_files import AnswerFiles
    from halluc.scoring.pope.label_sources import LabelFile
    from halluc.scoring.pope.split_pairing import Pairing


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


def read_answers(files: AnswerFiles, labels: Sequence[LabelFile], notes: list[str]) -> list[Answer]:
    """Pair answer lines with label lines.

    Answers are records with any of `halluc.scoring.answer_files.ANSWERS`: "answer" (POPE), "text"
    (LLaVA, VCD), "ans" (PAI). Labels are question files, one or one a split, or are in the answers
    themselves (PAI). A label file with gaps in its question ids is a corrected one (RePOPE):
    questions that it lacks are left out.

    Args:
        labels: The label files; none where labels are in the answers.
        notes: A list that gets remarks on what the files lack, and on how they were paired.

    Raises:
        UserError: If a line is wrong; see `halluc.scoring.pope.split_pairing.pair`.
    """
    answers = files.rows()
    if not labels:
        if "label" not in answers[0].fields:
            files.require("labels", "the question file with the right answers")
        notes.append("labels are in the answers: missing answers and wrong labels go unnoticed")
        labels = labels_inside(answers, files.answers)
    with_image = "image" in labels[0].rows[0].fields
    if not with_image:
        notes.append("no images named: intervals resample questions and are too narrow")
    if not any("question_id" in row.fields for row in answers):
        notes.append("no question ids: answers are paired with questions by line")
    pairs = pair(answers, labels, files.answers.name, notes)
    return [_answer(pairing, with_image) for pairing in pairs]


def _answer(pairing: Pairing, with_image: bool) -> Answer:
    row, question, id, split = pairing
    asked = question.text("text") if question is not row and "text" in question.fields else ""
    # "text" may be the question: where it stands next to an answer, or the label stands next to it
    is_question = question is row and not repeated(row)
    if "text" in row.fields and asked and bare(asked) in bare(row.text("text")):
        is_question = True
    return Answer(
        id=f"{split}/{id}",
        # without images each question is resampled by itself, so intervals are a little too narrow
        image_id=question.text("image") if with_image else f"question {id}",
        group=split,
        prompt=asked or repeated(row),
        target=label_of(question),
        text=answer_of(row, but=("text",) if is_question else ()),
    )
