"""Yes/no questions of one's own: a folder with images and a table of image, question, answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import Field

from halluc.benchmarks._own_data import DATASET, OwnTable, TableOptions
from halluc.benchmarks._pope import PROMPTS
from halluc.benchmarks._yes_no import YesNoBenchmark
from halluc.data.own_table import cell
from halluc.data.sample_selection import first_images
from halluc.errors import UserError
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard, Metric
from halluc.scoring.confusion_rates import RATES
from halluc.types import Sample
from halluc.validation import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from halluc.data.records import Row
    from halluc.scoring.base import Totals
    from halluc.scoring.yes_no import Verdict
    from halluc.types import Answer

ENGLISH = "yes/no"
ALSO = {"true": "yes", "false": "no", "1": "yes", "0": "no"}


class YesNoOptions(TableOptions):
    """What can be said about a table of yes/no questions."""

    answer_column: str = Field("answer", min_length=1)
    answers: str = Field(
        ENGLISH,
        pattern=r"^[^/\s]+/[^/\s]+$",
        description="The words for yes and no, in the table and in what models reply: ja/nein.",
    )


@benchmark("yes_no")
class OwnYesNo(OwnTable, YesNoBenchmark):
    """Yes/no questions about images of one's own, read by the scorers of POPE."""

    Options = YesNoOptions
    groups = ("all",)
    prompts = PROMPTS
    card = BenchmarkCard(
        title="Yes/no questions of one's own",
        paper="https://arxiv.org/abs/2305.10355",
        licence="the user's",
        task="yes_no",
        metrics=tuple(
            Metric(
                rate,
                higher_is_better=None if rate == "yes_ratio" else True,
                headline=rate in ("accuracy", "f1", "yes_ratio"),
                scale=100,
            )
            for rate in RATES
        ),
        citation="Li et al., Evaluating Object Hallucination in Large Vision-Language Models, "
        "EMNLP 2023 (how answers are read)",
        dataset=DATASET,
        split="all",
    )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Return the questions about each of the first `limit` images.

        Raises:
            UserError: If the table is broken or an image missing; names file, line and column.
        """
        return first_images(self._questions(), limit)

    def _questions(self) -> Iterator[Sample]:
        for id, image, row, load_image in self.asked_rows():
            question = cell(row, self.options.question_column, "question_column")
            yield Sample(
                id=id,
                image_id=image,
                prompt=question + self.prompts[self.prompt],
                load_image=load_image,
                target=self._label(row),
            )

    def _label(self, row: Row) -> str:
        column = self.options.answer_column
        said = cell(row, column, "answer_column").lower()
        yes, no = self.options.answers.lower().split("/")
        label = {yes: "yes", no: "no"}.get(said)
        if label is None and self.options.answers == ENGLISH:
            label = ALSO.get(said)
        if label is None:
            raise UserError(
                f"{row.where}: column {column!r} holds {shown(said)}, neither {yes!r} nor {no!r}; "
                "name other words: answers=YES/NO"
            )
        return label

    def predict(self, answer: Answer) -> Verdict | None:
        """Return "yes", "no" or "both", as the protocol reads it; None if neither.

        Words that stand for them are put into English first.
        """
        text = answer.text
        if self.options.answers != ENGLISH:
            for word, english in zip(self.options.answers.split("/"), ("Yes", "No"), strict=True):
                text = re.sub(rf"\b{re.escape(word)}\b", english, text, flags=re.IGNORECASE)
        return self.protocol_rule.parse(text)

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return the rates."""
        values = super().metrics(totals)
        return {rate: values[rate] for rate in RATES}
