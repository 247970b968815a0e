"""Multiple choice of one's own: a folder with images and a table of questions with options."""

from __future__ import annotations

from itertools import compress, takewhile
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from halluc.benchmarks._choice import METRICS, ChoiceBenchmark, choice_metrics
from halluc.benchmarks._own_data import DATASET, OwnTable, TableOptions
from halluc.data.own_table import cell, listed
from halluc.data.sample_selection import first_images
from halluc.errors import UserError
from halluc.scoring import choice
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard
from halluc.validation import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from halluc.data.records import Row
    from halluc.scoring.base import Totals
    from halluc.types import Sample

LETTERS = "ABCDEFGH"


class ChoiceOptions(TableOptions):
    """What can be said about a table of questions with options."""

    answer_column: str = Field("answer", min_length=1)
    options_column: str = Field("options", min_length=1)


@benchmark("choice")
class OwnChoice(OwnTable, ChoiceBenchmark):
    """Questions about images of one's own, each with two to eight options.

    Options are a list in one column, or columns A, B and so on; an answer is a letter or an option.
    """

    Options = ChoiceOptions
    groups = ("all",)
    letters = LETTERS
    marker = r"\nLETTER\. "
    protocols: ClassVar[tuple[str, ...]] = ("rules",)  # type: ignore[assignment]
    prompts: ClassVar[Mapping[str, str]] = {
        "official": "\nAnswer with the option's letter from the given choices directly.",
        "plain": "",
    }
    card = BenchmarkCard(
        title="Multiple choice of one's own",
        paper="https://arxiv.org/abs/2307.06281",
        licence="the user's",
        task="choice",
        metrics=choice_metrics(()),
        citation="Liu et al., MMBench: Is Your Multi-modal Model an All-around Player?, ECCV 2024 "
        "(how options are rotated)",
        dataset=DATASET,
        split="all",
    )

    def __init__(
        self,
        protocol: str | None = None,
        prompt: str = "official",
        folder: Path | None = None,
        images: Path | None = None,
        rotate_options: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(protocol, prompt, folder, images, **options)
        self.rotate_options = rotate_options

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Return the questions about each of the first `limit` images.

        Raises:
            UserError: If the table is broken or an image missing; names file, line and column.
        """
        return first_images(self._questions(), limit)

    def _questions(self) -> Iterator[Sample]:
        for id, image, row, load_image in self.asked_rows():
            options = self._options(row)
            question = cell(row, self.options.question_column, "question_column")
            asked = question + "".join(f"\n{letter}. {text}" for letter, text in options.items())
            if choice.listed(asked, self.marker, self.letters).options != options:
                raise UserError(
                    f"{row.where}: column {self.options.question_column!r} has a line that begins "
                    "like an option; write options in their own columns alone"
                )
            yield from self.asked_in_turns(
                id=id,
                image_id=image,
                question=asked,
                answer=self._letter(row, options),
                load_image=load_image,
                group="all",
                max_new_tokens=32,
                where=row.where,
            )

    def _options(self, row: Row) -> dict[str, str]:
        """Return the options by letter, from the column of options or from those of letters."""
        column = self.options.options_column
        if column in row.fields:
            texts = listed(row, column)
        else:
            column = "A, B and so on"
            more = takewhile(row.fields.__contains__, ascii_uppercase[len(LETTERS) :])
            written = [_is_written(row, letter) for letter in (*LETTERS, *more)]
            texts = [cell(row, letter, "column") for letter in compress(ascii_uppercase, written)]
            if any(written[len(texts) :]):
                raise UserError(f"{row.where}: columns {column} have a gap")
        if not 2 <= len(texts) <= len(LETTERS):
            raise UserError(
                f"{row.where}: has {len(texts)} options in columns {column}; write 2 to "
                f"{len(LETTERS)} in a column 'options', as in 'dog; cat', or in columns A, B and "
                "so on; name the column: options_column=COLUMN"
            )
        return dict(zip(LETTERS, (" ".join(text.split()) for text in texts), strict=False))

    def _letter(self, row: Row, options: Mapping[str, str]) -> str:
        """Return the letter of the right option, which the answer names or spells out."""
        column = self.options.answer_column
        said = cell(row, column, "answer_column")
        spelt = [letter for letter, text in options.items() if text.lower() == said.lower()]
        if said.upper() in options and spelt in ([], [said.upper()]):
            return said.upper()
        if len(spelt) != 1:
            raise UserError(
                f"{row.where}: column {column!r} holds {shown(said)}, not one of "
                f"{', '.join(options)} or of {shown([*options.values()])}"
            )
        return spelt[0]

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return the accuracies."""
        values = super().metrics(totals)
        return {name: values[name] for name in METRICS}


def _is_written(row: Row, column: str) -> bool:
    """Return whether a row has something in a column; a table pads rows with fewer options."""
    value = row.fields.get(column)
    return value is not None and (not isinstance(value, str) or bool(value.strip()))
