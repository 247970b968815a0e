"""The files that hold answers in the format of a benchmark's authors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class AnswerFiles:
    """The files that a benchmark's own scorer takes.

    Attributes:
        answers: The model's answers: a file, or a folder where the format has several files.
        labels: Questions or annotations with the right answers, where `answers` lacks them.
        ground_truth: CHAIR's objects per image.
    """

    answers: Path
    labels: Path | None = None
    ground_truth: Path | None = None

    def require(self, name: str, what: str) -> Path:
        """Return a file of the given name ("labels").

        Raises:
            UserError: If it is None or does not exist.
        """
        path: Path | None = getattr(self, name)
        option = "--" + name.replace("_", "-")
        if path is None:
            raise UserError(f"give {option}: {what}")
        if not path.exists():
            raise UserError(f"{option} {path}: no such file")
        return path
