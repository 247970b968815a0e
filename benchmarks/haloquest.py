"""HaloQuest: questions with false premises, too little context, or images hard to read."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from halluc.benchmarks._judged import JudgedBenchmark
from halluc.data.image_folder import ImageFolder
from halluc.data.pairing import by_id, unique
from halluc.data.pinned_files import checksum, fetch, verify
from halluc.data.records import rows, table
from halluc.data.sample_selection import first_images
from halluc.errors import UserError
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard, Metric
from halluc.scoring.confusion_rates import ratio
from halluc.types import Answer, Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from halluc.data.records import Row
    from halluc.scoring.answer_files import AnswerFiles
    from halluc.scoring.base import Totals

COMMIT = "2f643ebb77aeae40f4c5323db38f99f0dc257cf5"
FILE = "haloquest-eval.csv"
PUBLISHED = f"https://raw.githubusercontent.com/google/haloquest/{COMMIT}/{FILE}"
SHA256 = "6c88c8d6eb6d0a98881ec3e50ae52b5919247b53a47b7c723819603621b838b4"
GROUPS = ("false premises", "insufficient context", "visual challenge")
COLUMNS = ("image_name", "hallucination type", "question", "groundtruth responses")
ASK = """Is the response to the question consistent with any of the reference answers? The image \
is not shown. It is not if it declines to answer, counts otherwise than they do, or says no more \
than yes, no or nothing of a thing that they say is not there. Reply with one word, yes or no.

Question: {question}
Reference answers: {truth}
Response: {response}
Reply:"""


@benchmark("haloquest")
class HaloQuest(JudgedBenchmark):
    """608 questions; a judge compares each answer with the reference answers.

    The authors' Auto-Eval asks Gemini; the wording here is ours, by the same rules.

    Args:
        folder: The images by name, and haloquest-eval.csv, which is fetched where it is missing.
    """

    card = BenchmarkCard(
        title="HaloQuest",
        paper="https://arxiv.org/abs/2407.15680",
        licence="CC BY 4.0",
        task="open",
        metrics=(
            Metric("accuracy", headline=True, scale=100),
            *(Metric(f"{group}/accuracy", scale=100) for group in GROUPS),
        ),
        citation="Wang et al., HaloQuest: A Visual Hallucination Dataset for Advancing Multimodal "
        "Reasoning, ECCV 2024",
        dataset="google/haloquest on GitHub; images by the addresses in its table",
        revision=COMMIT,
    )

    @property
    def files_needed(self) -> str:
        """What the folder has to hold, in words."""
        return f"the images whose addresses are in {FILE}"

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Return the questions about each of the first `limit` images.

        Raises:
            UserError: If files or images are missing, or have changed since they were first used.
        """
        return first_images(self._asked(self.given()), limit)

    def _asked(self, folder: Path) -> Iterator[Sample]:
        images = ImageFolder(folder)
        path = folder / FILE
        if path.is_file():
            verify("haloquest", {FILE: checksum(path)})
        else:
            path = fetch(PUBLISHED, SHA256)
        for number, row in _questions(path).items():
            name = row["image_name"]
            images.find(name, row.where)
            yield Sample(
                id=f"{number:04d}",
                image_id=name,
                prompt=row["question"],
                load_image=partial(images.open, name),
                target=row["groundtruth responses"],
                group=row["hallucination type"],
                max_new_tokens=128,
            )

    def read_answers(self, files: AnswerFiles) -> list[Answer]:
        """Read JSON lines of id (the table's first column) and response.

        Args:
            files: With `labels`, the table; without, it is fetched.

        Raises:
            UserError: If an id is unknown, answered twice or missing.
        """
        path = files.require("labels", "") if files.labels else fetch(PUBLISHED, SHA256)
        questions = _questions(path)
        responses = by_id(rows(files.answers), "id", questions)
        return [_answer(id, row.text("response"), questions[id]) for id, row in responses.items()]

    def predict(self, answer: Answer) -> str | None:
        """Return the judge's "yes" or "no"; None if the reply is neither."""
        truth = "; ".join(part.strip() for part in answer.target.split(";") if part.strip())
        reply = self.ask(ASK.format(question=answer.prompt, truth=truth, response=answer.text))
        words = set(re.findall(r"\b(yes|no)\b", reply.lower()))
        return words.pop() if len(words) == 1 else None

    def right(self, reading: Reading) -> bool:
        """Return whether the judge said yes."""
        return bool(reading.prediction == "yes")

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        """Count right answers by type; an unreadable reply of the judge counts as wrong."""
        counts: dict[str, float] = {}
        for reading in readings:
            for name, count in (("n", 1.0), ("right", float(self.right(reading)))):
                for key in (name, f"{reading.group}/{name}"):
                    counts[key] = counts.get(key, 0.0) + count
        return counts

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return accuracy, overall and by type."""
        return {
            "accuracy": ratio(totals["right"], totals["n"]),
            **{f"{g}/accuracy": ratio(totals[f"{g}/right"], totals[f"{g}/n"]) for g in GROUPS},
        }


def _questions(path: Path) -> dict[int, Row]:
    """Return the table's rows by its first column, whose name is empty."""
    questions = table(path, ("", *COLUMNS))
    position = unique([(row.where, row.number("")) for row in questions])
    for row in questions:
        if row["hallucination type"] not in GROUPS:
            raise UserError(f"{row.where}: hallucination type {row['hallucination type']!r}")
    return {id: questions[number] for id, number in position.items()}


def _answer(id: int, text: str, row: Row) -> Answer:
    return Answer(
        f"{id:04d}",
        row["image_name"],
        row["hallucination type"],
        row["question"],
        row["groundtruth responses"],
        text=text,
    )
