"""The files that hold answers in the format of a benchmark's authors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.data.records import Row, rows
from halluc.errors import UserError
from halluc.validation import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ANSWERS = ("answer", "ans", "text", "response", "caption")
"""What authors and harnesses call the model's answer."""
QUESTIONS = ("query", "question", "prompt")
"""What they call the question, where they repeat it."""


@dataclass(frozen=True)
class AnswerFiles:
    """The files that a benchmark's own scorer takes.

    Attributes:
        answers: The model's answers: a file, or a folder where the format has several files.
        labels: Questions or annotations with the right answers, where `answers` lacks them.
        ground_truth: CHAIR's objects per image.
        more_labels: Further files of labels, where a benchmark has one for each split.
        records: The records of `answers`, where another harness wrote them in a layout of its own.
    """

    answers: Path
    labels: Path | None = None
    ground_truth: Path | None = None
    more_labels: tuple[Path, ...] = ()
    records: tuple[Row, ...] = ()

    @classmethod
    def of(
        cls,
        answers: Path,
        labels: Sequence[Path] = (),
        ground_truth: Path | None = None,
        records: Sequence[Row] = (),
    ) -> AnswerFiles:
        """Name answers with any number of label files."""
        first = labels[0] if labels else None
        return cls(answers, first, ground_truth, tuple(labels[1:]), tuple(records))

    @property
    def all_labels(self) -> list[Path]:
        """All files of labels."""
        return [path for path in (self.labels, *self.more_labels) if path is not None]

    def rows(self) -> list[Row]:
        """Return the records of `answers`.

        Raises:
            UserError: If it cannot be read; names the line.
        """
        return [*self.records] or rows(self.answers)

    def require(self, name: str, what: str) -> Path:
        """Return a file of the given name ("labels").

        Raises:
            UserError: If it is None or does not exist, or there are several.
        """
        path: Path | None = getattr(self, name)
        option = "--" + name.replace("_", "-")
        if path is None:
            raise UserError(f"give {option}: {what}")
        if name == "labels" and self.more_labels:
            raise UserError(f"--answers {self.answers} goes with one file of --labels")
        if not path.exists():
            raise UserError(f"{option} {path}: no such file")
        return path


def note_count(answers: int, size: tuple[int, int] | None, per: int = 1) -> list[str]:
    """Return a note where a file has not as many answers as the data set has questions.

    Args:
        size: The data set's images and questions (`BenchmarkCard.size`).
        per: How many questions of the data set a line of the file stands for.
    """
    asked = size[1] // per if size is not None else answers
    if answers == asked:
        return []
    return [f"{answers} answers, where the data set has {asked}: missing answers go unnoticed"]


def answer_of(row: Row, *also: str, but: tuple[str, ...] = ()) -> str:
    """Return the model's answer in a record, by any of the names it goes by (ANSWERS).

    Args:
        also: Further names, of one benchmark.
        but: Names that mean something else in this file.

    Raises:
        UserError: If the record has none, or two that differ: which of them did the model say?
    """
    names = [name for name in dict.fromkeys((*also, *ANSWERS)) if name not in but]
    present = [name for name in names if name in row.fields]
    if len({row.text(name) for name in present}) > 1:
        raise UserError(
            f"{row.where}: {' and '.join(map(shown, present))} differ; keep the one that the "
            "model said"
        )
    return row.text(*present or names)
