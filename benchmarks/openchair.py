"""OpenCHAIR: any concrete noun a description uses, checked by a judge against a true caption."""

from __future__ import annotations

import csv
import re
from functools import cached_property, partial
from typing import TYPE_CHECKING

from halluc.errors import UserError
from halluc.samples import Answer, Sample
from halluc.scoring import english, hub
from halluc.scoring.benchmark import BenchmarkCard, Metric, benchmark
from halluc.scoring.judged_benchmark import JudgedBenchmark
from halluc.scoring.official import rows, text_of, unique
from halluc.scoring.rates import ratio

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from halluc.scoring.benchmark import Totals
    from halluc.scoring.official import OfficialFiles

REPO = "moranyanuka/OpenCHAIR"
CONCRETE = 4.5
IGNORED = frozenset({"painting", "drawing", "photo", "picture", "portrait", "photograph"})
RATINGS = "concreteness.csv"
ASK = (
    "An image has this caption: {caption}\nDoes the image contain this object: {noun}? Reply with "
    "one word: yes, no or unsure."
)


@benchmark("openchair")
class OpenChair(JudgedBenchmark):
    """2000 generated images; hallucinated nouns of all that a judge decides on.

    Nouns are NLTK's and not spaCy's, and the judge is whichever is given: scores compare within
    one table. The metric counts one question a noun of a description, as the authors do.

    Args:
        folder: concreteness.csv, Brysbaert's ratings as a table with columns Word and Conc.M.
    """

    dataset = hub.Dataset(REPO, {"test": "data/test-*"}, ("text",))
    card = BenchmarkCard(
        title="OpenCHAIR",
        paper="https://arxiv.org/abs/2312.03631",
        licence="MIT",
        task="caption",
        metrics=(
            Metric("openchair", higher_is_better=False, headline=True, scale=100),
            Metric("nouns", higher_is_better=None, headline=True),
            Metric("unsure", higher_is_better=None, scale=100),
        ),
        citation="Ben-Kish et al., Mitigating Open-Vocabulary Caption Hallucinations, EMNLP 2024",
        dataset=REPO,
    )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Yield one request to describe each of the first `limit` images."""
        table = self.dataset.load("test")
        for number, row in enumerate(table.rows[:limit]):
            yield Sample(
                id=f"{number:04d}",
                image_id=f"{number:04d}",
                prompt="Please describe this image in detail.",
                load_image=partial(table.image, number),
                target=row["text"],
                max_new_tokens=512,
            )

    def read_official(self, files: OfficialFiles) -> list[Answer]:
        """Read JSON lines of id, generated_caption and gt_caption.

        Raises:
            UserError: If an id is there twice, or a line lacks one of them.
        """
        given = rows(files.answers)
        unique([(row.where, row["id"]) for row in given])
        return [
            Answer(str(row["id"]), str(row["id"]), "all", "", str(row["gt_caption"]),
                   text=row.text("generated_caption"))
            for row in given
        ]  # fmt: skip

    @cached_property
    def concrete(self) -> frozenset[str]:
        """Words that name something one can see or touch."""
        if self.folder is None or not (self.folder / RATINGS).is_file():
            raise UserError(f"openchair: give a folder with {RATINGS} (columns Word and Conc.M)")
        table = csv.DictReader(text_of(self.folder / RATINGS).splitlines())
        return frozenset(r["Word"].lower() for r in table if float(r["Conc.M"]) > CONCRETE)

    def nouns(self, caption: str) -> list[str]:
        """The distinct concrete nouns of a caption, in order."""
        tagged = english.tag(english.tokenize(caption.lower()))
        found = (english.lemmatize(word) for word, tag in tagged if tag.startswith("NN"))
        return [n for n in dict.fromkeys(found) if n in self.concrete and n not in IGNORED]

    def predict(self, answer: Answer) -> dict[str, str]:
        """What the judge says of each noun: "yes", "no" or "unsure"."""
        return {
            noun: read(self.ask(ASK.format(caption=answer.target, noun=noun)))
            for noun in self.nouns(answer.text)
        }

    def tally(self, answers: Sequence[Answer]) -> dict[str, float]:
        """Count what was said of all nouns."""
        said = [word for answer in answers for word in answer.prediction.values()]
        return {
            "captions": float(len(answers)),
            **{word: float(said.count(word)) for word in ("yes", "no", "unsure")},
        }

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Share of nouns that are not there, of those decided; nouns a caption; share undecided."""
        decided = totals["yes"] + totals["no"]
        return {
            "openchair": ratio(totals["no"], decided),
            "nouns": ratio(decided + totals["unsure"], totals["captions"]),
            "unsure": ratio(totals["unsure"], decided + totals["unsure"]),
        }


def read(reply: str) -> str:
    """Read a reply as the authors do: the word yes, else no or not, else unsure."""
    words = set(re.findall(r"[a-z]+", reply.lower()))
    return "yes" if "yes" in words else "no" if words & {"no", "not"} else "unsure"
