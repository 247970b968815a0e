"""MMHal-Bench: 96 open questions, rated 0 to 6 by a judge that gets a list of the objects."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from halluc.benchmarks._judged import JudgedBenchmark
from halluc.data import hub
from halluc.data.image_folder import ImageFolder
from halluc.data.pairing import unique
from halluc.data.pinned_files import checksum, verify
from halluc.data.records import rows
from halluc.errors import UserError
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard, Metric
from halluc.scoring.confusion_rates import ratio
from halluc.types import Answer, Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from halluc.data.records import Row
    from halluc.scoring.answer_files import AnswerFiles
    from halluc.scoring.base import Totals

TYPES = (
    "attribute",
    "adversarial",
    "comparison",
    "counting",
    "relation",
    "environment",
    "holistic",
    "other",
)
"""Question types, in the order of the file, which repeats every eight questions."""
QUESTIONS = 96
REPO = "Shengcao1006/MMHal-Bench"
REVISION = "f5f49a938f45ed99e235b8519ba28f76832a2add"
FILE = "response_template.json"
HALLUCINATES = 3
"""Ratings below this count as hallucination."""
ASK = """You are an impartial judge of answers that a multimodal model gave about an image you do \
not see. An answer hallucinates if it claims something that the image contents and the standard \
answer do not support; information that is correct and merely more is no hallucination.

Rate it by its hallucination and by how informative it is:
6: no hallucination, very informative, with analysis or reasoning
5: no hallucination, very informative
4: no hallucination, somewhat informative
3: no hallucination, not informative
2: hallucination, very informative
1: hallucination, somewhat informative
0: hallucination, not informative

Explain briefly, then end with "Rating: " and the number.

Image Contents: {contents}
Question: {question}
Standard Human-Generated Answer: {truth}
LMM Response: {response}
"""


@benchmark("mmhal_bench")
class MmhalBench(JudgedBenchmark):
    """Twelve questions of each of eight types.

    The judge's prompt is ours, with the authors' scale; only ratings of one judge can be compared.

    Args:
        folder: response_template.json (or mmhal-bench_answer_template.json) and images, named
            `<image_id>` or as the address in image_src ends; None reads the hub.
    """

    card = BenchmarkCard(
        title="MMHal-Bench",
        paper="https://arxiv.org/abs/2309.14525",
        licence="Apache-2.0 (data)",
        task="open",
        metrics=(
            Metric("score", headline=True),
            Metric("hallucination_rate", higher_is_better=False, headline=True, scale=100),
            *(Metric(f"{name}/score") for name in TYPES),
        ),
        citation="Sun et al., Aligning Large Multimodal Models with Factually Augmented RLHF, 2023",
        dataset=REPO,
        revision=REVISION,
    )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Yield one question an image.

        Raises:
            UserError: If files or images are missing, or have changed since they were first used.
        """
        folder = self.folder or hub.fetch_folder(REPO, (FILE, "images/*"), REVISION)
        paths = sorted([*folder.glob(FILE), *folder.glob("mmhal-bench_*template.json")])
        if not paths:
            raise UserError(f"{folder}: has no {FILE}")
        if self.folder is not None:
            verify("mmhal_bench", {paths[0].name: checksum(paths[0])})
        images = ImageFolder(folder)
        stems = images.stems()
        for number, row in list(enumerate(rows(paths[0])))[:limit]:
            source = row.text("image_src").rsplit("/", 1)[-1]
            name = stems.get(row.text("image_id"), source)
            images.find(name, row.where)
            yield Sample(
                id=f"{number:02d}",
                image_id=row.text("image_id"),
                prompt=row.text("question"),
                load_image=partial(images.open, name),
                target=_target(row),
                group=_type(row, number),
                max_new_tokens=512,
            )

    def read_answers(self, files: AnswerFiles) -> list[Answer]:
        """Read the authors' JSON list of 96 records with "model_answer" in each.

        Raises:
            UserError: If it has another length or order, or asks one question of an image twice.
        """
        records = rows(files.answers)
        unique([(row.where, (row.text("image_id"), row.text("question"))) for row in records])
        if len(records) != QUESTIONS:
            raise UserError(f"{files.answers}: {len(records)} answers, MMHal-Bench has {QUESTIONS}")
        return [
            Answer(
                f"{number:02d}",
                row.text("image_id"),
                _type(row, number),
                row.text("question"),
                _target(row),
                text=row.text("model_answer"),
            )
            for number, row in enumerate(records)
        ]

    def predict(self, answer: Answer) -> int | None:
        """Return the judge's rating; None if the reply has none or several."""
        target = answer.target
        reply = self.ask(
            ASK.format(
                contents=", ".join(target["contents"]),
                question=answer.prompt,
                truth=target["answer"],
                response=answer.text,
            )
        )
        return rating(reply)

    def right(self, reading: Reading) -> bool:
        """Return whether the rating means that nothing is hallucinated."""
        return (reading.prediction or 0) >= HALLUCINATES

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        """Count ratings; an unreadable one is a 0, as in the authors' code."""
        counts: dict[str, float] = {}
        for reading in readings:
            rated = float(reading.prediction or 0)
            for name, count in (("n", 1.0), ("rating", rated), ("bad", not self.right(reading))):
                for key in (name, f"{reading.group}/{name}"):
                    counts[key] = counts.get(key, 0.0) + count
        return counts

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return the mean rating, overall and by type, and the share of hallucinating answers."""
        return {
            "score": ratio(totals["rating"], totals["n"]),
            "hallucination_rate": ratio(totals["bad"], totals["n"]),
            **{f"{n}/score": ratio(totals[f"{n}/rating"], totals[f"{n}/n"]) for n in TYPES},
        }

    def as_printed(self, totals: Mapping[str, float]) -> dict[str, Any]:
        """Return what eval_gpt_mmhal.py prints, to two places."""
        values = {name: round(value, 2) for name, value in super().as_printed(totals).items()}
        return {
            "Average score": values["score"],
            "Hallucination rate": round(totals["bad"] / totals["n"], 2),
            "Average score for each question type": [values[f"{name}/score"] for name in TYPES],
        }


def rating(reply: str) -> int | None:
    """Read a reply as the authors do: exactly one of "rating: 0" to "rating: 6"."""
    ratings = {int(digit) for digit in re.findall(r"rating: ([0-6])", reply.lower())}
    return ratings.pop() if len(ratings) == 1 else None


def _target(row: Row) -> dict[str, Any]:
    return {"contents": row.texts("image_content"), "answer": row.text("gt_answer")}


def _type(row: Row, number: int) -> str:
    """Return the type at this position of the file, which is all that the authors look at."""
    expected = TYPES[number % len(TYPES)]
    if row.text("question_type") != expected:
        raise UserError(
            f"{row.where}: is of type {row['question_type']!r}, not {expected!r}; is it reordered?"
        )
    return expected
