"""MMStar: questions that cannot be answered without the image, in six core capabilities."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from halluc.benchmarks._choice import ChoiceBenchmark, choice_metrics
from halluc.data.hub import Dataset
from halluc.data.pairing import by_id
from halluc.data.records import Row, rows
from halluc.data.sample_selection import first_images
from halluc.errors import UserError
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard
from halluc.scoring.choice import listed
from halluc.types import Answer, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from halluc.scoring.answer_files import AnswerFiles

REPO = "Lin-Chen/MMStar"
REVISION = "bc98d668301da7b14f648724866e57302778ab27"
CATEGORIES = (
    "coarse perception",
    "fine-grained perception",
    "instance reasoning",
    "logical reasoning",
    "science & technology",
    "math",
)
QUESTIONS = 1500
COLUMNS = ("index", "question", "answer", "category", "l2_category")
_READ = re.compile(r"(?:\(|option |the answer is )?(.)", re.IGNORECASE)


@benchmark("mmstar")
class MmStar(ChoiceBenchmark):
    """1500 questions with four options, 250 of each category.

    `official` reads the letter that an answer begins with, or that follows "(", "option " or "the
    answer is " (eval/vlmeval/evaluate/mmstar.py); lmms-eval reads the same.
    """

    questions: ClassVar[int] = QUESTIONS
    groups = CATEGORIES
    letters = "ABCD"
    marker = r"(?:Options: |, )LETTER: |\n\(LETTER\) ?"
    prompts: ClassVar[Mapping[str, str]] = {
        # what the authors' code appends where the table has no column a letter, as is the case
        "official": "\nAnswer the question directly.",
        "lmms-eval": "\nAnswer with the option's letter from the given choices directly",
    }
    dataset = Dataset(REPO, {"val": "mmstar.parquet"}, COLUMNS, REVISION)
    card = BenchmarkCard(
        title="MMStar",
        paper="https://arxiv.org/abs/2403.20330",
        licence="see the data set's page",
        task="choice",
        metrics=choice_metrics(CATEGORIES),
        citation="Chen et al., Are We on the Right Way for Evaluating Large Vision-Language "
        "Models?, NeurIPS 2024",
        dataset=REPO,
        revision=REVISION,
        split="val",
        size=(QUESTIONS, QUESTIONS),
    )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Return the first `limit` questions; every one has an image of its own.

        Raises:
            UserError: If the data set cannot be fetched or has changed, or a row of it is wrong.
        """
        if self.folder is not None:
            raise UserError(f"mmstar: takes no folder; its data is {REPO} on the hub")
        return first_images(self._asked(limit), limit)

    def _asked(self, limit: int | None) -> Iterator[Sample]:
        table = self.dataset.few("val", limit)
        for number, fields in enumerate(table.rows):
            row = Row(f"{REPO} row {number}", fields)
            yield from self.asked_in_turns(
                id=f"{row.number('index'):04d}",
                image_id=f"{row.number('index'):04d}",
                question=row.text("question"),
                answer=row.text("answer").strip().upper(),
                load_image=partial(table.image, number),
                group=_category(row),
                max_new_tokens=32,
                where=row.where,
            )

    def read_answers(self, files: AnswerFiles) -> list[Answer]:
        """Read the authors' table as JSON: index, question, answer, category and prediction.

        Raises:
            UserError: If a question is answered twice or missing, or a category is unknown.
        """
        asked = range(self.questions)
        return [
            Answer(
                id=f"{index:04d}",
                image_id=f"{index:04d}",
                group=_category(row),
                prompt=row.text("question"),
                target={
                    "answer": row.text("answer").strip().upper(),
                    "options": listed(row.text("question"), self.marker, self.letters).options,
                },
                text=row.text("prediction"),
            )
            for index, row in by_id(rows(files.answers), "index", asked).items()
        ]

    def official(self, text: str) -> str | None:
        """Return the letter at the start of an answer, as the authors read it."""
        read = _READ.match(text.strip().replace("\n", " "))
        letter = read[1].upper() if read else ""
        return letter if letter and letter in self.letters else None

    def as_printed(self, totals: Mapping[str, float]) -> dict[str, Any]:
        """Return the scores that the authors print, as fractions."""
        values = {name: value / 100 for name, value in super().as_printed(totals).items()}
        parts = {category: values[f"{category}/accuracy"] for category in self.groups}
        return {"final score": values["accuracy"], **parts}


def _category(row: Row) -> str:
    category = row.text("category")
    if category not in CATEGORIES:
        raise UserError(f"{row.where}: category {category!r} is not one of {', '.join(CATEGORIES)}")
    return category
