"""HumbleBench: options of which none may be right, on objects, relations and attributes."""

from __future__ import annotations

import re
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar

from halluc.benchmarks._choice import ROTATED, ChoiceBenchmark, choice_metrics, label_among
from halluc.data.hub import Dataset
from halluc.data.image_folder import ImageFolder
from halluc.data.pairing import unique
from halluc.data.pinned_files import checksum, verify
from halluc.data.records import Row, rows
from halluc.data.sample_selection import first_images
from halluc.errors import UserError
from halluc.scoring.answer_files import note_count
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard, Metric
from halluc.scoring.choice import listed
from halluc.scoring.confusion_rates import ratio
from halluc.types import Answer, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from halluc.scoring.answer_files import AnswerFiles
    from halluc.scoring.base import Totals
    from halluc.types import Reading

REPO = "MM-Hallu/HumbleBench"
FILE = "metadata.jsonl"
TYPES = ("Object", "Relation", "Attribute")
COLUMNS = ("question_id", "question", "label", "type")
NONE = "E"
"""The letter of "None of the above"."""
NONE_ACCURACY = "none_of_the_above/accuracy"


@benchmark("humblebench")
class HumbleBench(ChoiceBenchmark):
    """22831 questions on 3582 images; the fifth option is "None of the above".

    `official` reads the only one of the words a to e in an answer (HumbleBench/utils/metrics.py).
    Rotations leave the last option where it is.

    Args:
        folder: metadata.jsonl with file_name, question_id, question, label and type, and the
            images at any depth; None reads a copy on the hub.
    """

    groups = TYPES
    letters = "ABCDE"
    marker = r"(?:^|\n)\s*LETTER\.\s*"
    fixed = 1
    prompts: ClassVar[Mapping[str, str]] = {
        "official": "\nPlease respond with only the letter of the correct choice (A, B, C, D, or "
        "E). Do not include the option text or any other explanation."
    }
    dataset = Dataset(REPO, {"train": "train-*.parquet"}, COLUMNS)
    card = BenchmarkCard(
        title="HumbleBench",
        paper="https://arxiv.org/abs/2509.09658",
        licence="MIT",
        task="choice",
        metrics=(*choice_metrics(TYPES), Metric(NONE_ACCURACY, headline=True, scale=100)),
        citation="Tong et al., Measuring Epistemic Humility in Multimodal Large Language Models, "
        "2025",
        dataset=REPO,
        split="train",
        size=(3582, 22831),
    )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Return all questions about each of the first `limit` images.

        Raises:
            UserError: If files or images are missing or wrong, or have changed since the first use.
        """
        source = self._hub() if self.folder is None else self._files(self.folder)
        return first_images(self._asked(source), limit)

    def _asked(self, source: Iterator[tuple[Row, str, Callable[[], Image]]]) -> Iterator[Sample]:
        for row, image_id, load_image in source:
            yield from self.asked_in_turns(
                id=str(row.number("question_id")),
                image_id=image_id,
                question=row.text("question"),
                answer=row.text("label").strip().upper(),
                load_image=load_image,
                group=_type(row),
                max_new_tokens=128,
                where=row.where,
            )

    def _hub(self) -> Iterator[tuple[Row, str, Callable[[], Image]]]:
        table = self.dataset.load("train")
        for number, (fields, name) in enumerate(zip(table.rows, table.image_names, strict=True)):
            row = Row(f"{REPO} row {number}", fields)
            # without names every question is a cluster of its own
            yield row, name or f"row {number}", partial(table.image, number)

    def _files(self, folder: Path) -> Iterator[tuple[Row, str, Callable[[], Image]]]:
        questions, images = rows(folder / FILE), ImageFolder(folder)
        unique([(row.where, row.number("question_id")) for row in questions])
        verify("humblebench", {FILE: checksum(folder / FILE)})
        for row in questions:
            images.find(name := row.text("file_name"), row.where)
            yield row, name, partial(images.open, name, row.where)

    def read_answers(self, files: AnswerFiles) -> list[Answer]:
        """Read the authors' JSON lines: question_id, question, label, type, image and prediction.

        Raises:
            UserError: If a question is answered twice, or a line is wrong.
        """
        records = rows(files.answers)
        unique([(row.where, row.number("question_id")) for row in records])
        self.notes += note_count(len(records), self.card.size)
        return [
            Answer(
                id=str(row.number("question_id")),
                image_id=_image(row),
                group=_type(row),
                prompt=row.text("question"),
                target={
                    "answer": label_among(row, self.letters),
                    "options": listed(row.text("question"), self.marker, self.letters).options,
                },
                text=row.text("prediction"),
            )
            for row in records
        ]

    def official(self, text: str) -> str | None:
        """Return the only letter among the words of an answer."""
        found = set(re.findall(r"\b\w+\b", text.lower())) & set("abcde")
        return found.pop().upper() if len(found) == 1 else None

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        """Count as for any choice; and what was said, and how "None of the above" was found."""
        totals = super().tally(readings)
        first = [reading for reading in readings if ROTATED not in reading.id]
        for reading in first:
            said = f"said/{reading.prediction or 'NA'}"
            totals[said] = totals.get(said, 0.0) + 1
        none = [reading for reading in first if reading.target["answer"] == NONE]
        totals["none/n"] = float(len(none))
        totals["none/right"] = float(sum(map(self.right, none)))
        totals["none/exact"] = float(sum(reading.text == NONE for reading in none))
        return totals

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return the accuracies, and that of the questions of which no other option is right."""
        none = ratio(totals["none/right"], totals["none/n"])
        return {**super().metrics(totals), NONE_ACCURACY: none}

    def as_printed(self, totals: Mapping[str, float]) -> dict[str, Any]:
        """Return what metrics.py prints; its E_accuracy takes the answer "E" alone, not "E."."""
        values = super().as_printed(totals)
        n = sum(totals[f"{name}/n"] for name in TYPES)
        return {
            **{f"{name}_accuracy": values[f"{name}/accuracy"] for name in TYPES},
            "Overall_accuracy": values["accuracy"],
            "E_accuracy": 100 * totals["none/exact"] / (totals["none/n"] or 1),
            **{f"{said}_proportion": 100 * totals[f"said/{said}"] / n for said in (*"ABCDE", "NA")},
        }


def _type(row: Row) -> str:
    name = row.text("type")
    if name not in TYPES:
        raise UserError(f"{row.where}: type {name!r} is not one of {', '.join(TYPES)}")
    return name


def _image(row: Row) -> str:
    """Return the name of an image's file, which is a text or the path in an object."""
    image = row["image"] if "image" in row.fields else row.text("file_name")
    path = image.get("path") if isinstance(image, dict) else image
    if not isinstance(path, str):
        raise UserError(f"{row.where}: image is neither a path nor an object with one")
    return PurePosixPath(path).name
