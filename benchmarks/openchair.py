"""OpenCHAIR: a judge checks all concrete nouns of a description against a true caption."""

from __future__ import annotations

import re
from functools import cached_property, partial
from typing import TYPE_CHECKING

from halluc.benchmarks._judged import JudgedBenchmark
from halluc.data import hub
from halluc.data.records import table
from halluc.errors import UserError
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard, Metric
from halluc.scoring.confusion_rates import ratio
from halluc.scoring.text import nltk_words as english
from halluc.types import Answer, Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from halluc.data.records import Row
    from halluc.scoring.answer_files import AnswerFiles
    from halluc.scoring.base import Totals

REPO = "moranyanuka/OpenCHAIR"
REVISION = "204ba0103ad8bf634c055b3ba3ea275653b7b6da"
CONCRETE = 4.5
IGNORED = frozenset({"painting", "drawing", "photo", "picture", "portrait", "photograph"})
RATINGS = "concreteness.csv"
ASK = (
    "An image has this caption: {caption}\nDoes the image contain this object: {noun}? Reply with "
    "one word: yes, no or unsure."
)


@benchmark("openchair")
class OpenChair(JudgedBenchmark):
    """2000 generated images; the share of hallucinated nouns, of those a judge decides on.

    Nouns are NLTK's and not spaCy's, and any judge can be used, so only scores of one table can be
    compared. A noun counts as often as it occurs, as in the authors' code.

    Args:
        folder: concreteness.csv, Brysbaert's ratings as a table with columns Word and Conc.M.
    """

    dataset = hub.Dataset(REPO, {"test": "data/test-*"}, ("text",), REVISION)
    card = BenchmarkCard(
        title="OpenCHAIR",
        paper="https://arxiv.org/abs/2312.03631",
        licence="MIT",
        task="caption",
        metrics=(
            Metric("openchair", higher_is_better=False, headline=True, scale=100),
            Metric("nouns", higher_is_better=None, headline=True),
            Metric("unsure", higher_is_better=None, scale=100),
            Metric("unread", higher_is_better=None, scale=100),
        ),
        citation="Ben-Kish et al., Mitigating Open-Vocabulary Caption Hallucinations, EMNLP 2024",
        dataset=REPO,
        revision=REVISION,
    )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Yield one request to describe each of the first `limit` images.

        Raises:
            UserError: If the data set cannot be fetched or has changed, or the ratings, which
                scoring needs, are missing.
        """
        if not self.concrete:
            raise UserError(f"openchair: {RATINGS} has no word above {CONCRETE}")
        images = self.dataset.load("test")
        for number, row in enumerate(images.rows[:limit]):
            yield Sample(
                id=f"{number:04d}",
                image_id=f"{number:04d}",
                prompt="Please describe this image in detail.",
                load_image=partial(images.image, number),
                target=row["text"],
                max_new_tokens=512,
            )

    def read_answers(self, files: AnswerFiles) -> list[Answer]:
        """Read the authors' CSV of generated_caption, one for each image in the data set's order.

        The data set is read from the hub's cache, for the captions the images were made from.

        Args:
            files: With `labels`, the ratings of `folder`.

        Raises:
            UserError: If there are more or fewer captions than images.
        """
        if files.labels is not None:
            self.folder = files.require("labels", "").parent
        captions = table(files.answers, ("generated_caption",))
        truth = [str(row["text"]) for row in self.dataset.load("test").rows]
        if len(captions) != len(truth):
            raise UserError(
                f"{captions[-1].where}: is caption {len(captions)}, {REPO} has {len(truth)} images"
            )
        return [
            Answer(f"{n:04d}", f"{n:04d}", "all", "", caption, text=row.text("generated_caption"))
            for n, (row, caption) in enumerate(zip(captions, truth, strict=True))
        ]

    @property
    def files_needed(self) -> str:
        """What the folder has to hold, in words."""
        return f"{RATINGS} (columns Word and Conc.M)"

    @cached_property
    def concrete(self) -> frozenset[str]:
        """Words that name something that can be seen or touched."""
        if self.folder is None or not (self.folder / RATINGS).is_file():
            raise self.folder_missing()
        ratings = table(self.folder / RATINGS, ("Word", "Conc.M"))
        return frozenset(row["Word"].lower() for row in ratings if _rating(row) > CONCRETE)

    def nouns(self, caption: str) -> list[str]:
        """Return the concrete nouns of a caption, in order, with repetition."""
        tagged = english.tag(english.tokenize(caption.lower()))
        nouns = (english.lemmatize(word) for word, tag in tagged if tag in ("NN", "NNS"))
        return [noun for noun in nouns if noun in self.concrete and noun not in IGNORED]

    def predict(self, answer: Answer) -> dict[str, str]:
        """Return the judge's reply on each noun: "yes", "no", "unsure", or "unread"."""
        return {
            noun: read(self.ask(ASK.format(caption=answer.target, noun=noun)))
            for noun in dict.fromkeys(self.nouns(answer.text))
        }

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        """Count the judge's replies on all nouns."""
        replies = [
            reading.prediction[noun] for reading in readings for noun in self.nouns(reading.text)
        ]
        return {
            "captions": float(len(readings)),
            "nouns": float(len(replies)),
            **{word: float(replies.count(word)) for word in ("yes", "no", "unsure", "unread")},
        }

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return the share of absent nouns, nouns per caption, and undecided shares."""
        return {
            "openchair": ratio(totals["no"], totals["yes"] + totals["no"]),
            "nouns": ratio(totals["nouns"], totals["captions"]),
            "unsure": ratio(totals["unsure"], totals["nouns"]),
            "unread": ratio(totals["unread"], totals["nouns"]),
        }


def read(reply: str) -> str:
    """Read a reply as the authors do: the word yes, else no or not, else unsure."""
    words = set(re.findall(r"[a-z]+", reply.lower()))
    if "yes" in words:
        return "yes"
    return "no" if words & {"no", "not"} else "unsure" if "unsure" in words else "unread"


def _rating(row: Row) -> float:
    try:
        return float(row["Conc.M"])
    except ValueError:
        raise UserError(f"{row.where}: Conc.M {row['Conc.M']!r} is not a number") from None
