"""POPE's label files: which there are, and which edition of POPE they are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from halluc.data.pairing import image_id, unique
from halluc.data.records import Row, rows
from halluc.errors import UserError
from halluc.scoring.pope.questions import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
OLD_RANDOM = 2910
EDITIONS = {
    "0438f7b5595a048d": "the older random split of 2910 questions (1500 yes, 1410 no), which "
    "LLaVA-1.5 and OPERA report: its numbers do not compare with those of 3000 questions",
}
"""Checksums of images, questions and labels of other editions than today's, and what they are.

Line ends, "imange" and ids differ between copies of an edition and are not in the checksum.
"""


@dataclass(frozen=True)
class LabelFile:
    """Questions with the right answers, of one split.

    Attributes:
        path: The file.
        split: The split that it is named after, "all" if none.
        rows: Its lines.
    """

    path: Path
    split: str
    rows: list[Row]

    @cached_property
    def ids(self) -> list[tuple[str, Any]]:
        """The line of each question, and its id: the line's number where it has none."""
        ids = [(row.where, id_of(row, number)) for number, row in enumerate(self.rows, 1)]
        unique(ids)
        return ids

    @property
    def has_gaps(self) -> bool:
        """Whether ids leave some out, as in a corrected file (RePOPE)."""
        ids = [id for _, id in self.ids]
        return all(isinstance(id, int) for id in ids) and any(b > a + 1 for a, b in pairwise(ids))

    @cached_property
    def questions(self) -> list[str]:
        """The questions, bare; "" where the file has none."""
        return [bare(str(row.fields.get("text", ""))) for row in self.rows]

    @property
    def edition(self) -> str | None:
        """What is special about this edition of POPE; None for any other file."""
        images = [image_id(row.fields.get("image", "")) for row in self.rows]
        labels = [str(row.fields.get("label", "")) for row in self.rows]
        content = "\n".join(map("\t".join, zip(images, self.questions, labels, strict=True)))
        return EDITIONS.get(
            hashlib.sha256(content.encode(errors="surrogateescape")).hexdigest()[:16]
        )


def read_label_files(paths: Sequence[Path], stem: str) -> list[LabelFile]:
    """Read label files; a folder stands for those in it that are named after the splits.

    Args:
        stem: What the benchmark's own files start with ("coco_pope"); they go first in a folder.

    Raises:
        UserError: If a folder has none, or two files are of one split.
    """
    files = [file for path in paths for file in (_inside(path, stem) if path.is_dir() else [path])]
    labels = [LabelFile(file, strategy_of(file.name) or "all", rows(file)) for file in files]
    by_split: dict[str, Path] = {}
    for label in labels if len(labels) > 1 else ():
        if label.split == "all":
            raise UserError(f"--labels {label.path}: its name says no split (random, popular, ...)")
        if label.split in by_split:
            raise UserError(
                f"--labels {label.path}: {by_split[label.split]} is of the {label.split} split "
                "too; give one of them"
            )
        by_split[label.split] = label.path
    return labels


def _inside(folder: Path, stem: str) -> list[Path]:
    named = [
        path
        for path in sorted(folder.iterdir())
        if path.name.endswith(SUFFIXES) and any(strategy in path.name for strategy in STRATEGIES)
    ]
    files = [path for path in named if path.name.partition(".")[0] in _names(stem)] or named
    if not files:
        raise UserError(f"--labels {folder}: has no {stem}_random.json or other split of POPE")
    return files


def _names(stem: str) -> list[str]:
    return [f"{stem}_{strategy}" for strategy in STRATEGIES]


def strategy_of(*names: str) -> str | None:
    """Return the strategy that files are named after; None if their names do not have one.

    Raises:
        UserError: If the names have different strategies.
    """
    named = {strategy for name in names for strategy in STRATEGIES if strategy in name}
    if len(named) > 1:
        raise UserError(f"{' and '.join(names)} are named after different splits of POPE")
    return named.pop() if named else None


def id_of(row: Row, number: int) -> Any:
    """Return a question's id; its line where it has none."""
    return row.id("question_id") if "question_id" in row.fields else number


def bare(question: str) -> str:
    """Return a question without the differences of file variants: "imange", case, the end."""
    return question.replace("imange", "image").lower().split("?")[0].strip()
