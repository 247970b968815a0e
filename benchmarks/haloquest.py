"""HaloQuest: questions with false premises, too little context, or images hard to read."""

from __future__ import annotations

import csv
import re
from functools import partial
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError
from halluc.samples import Answer, Sample
from halluc.scoring import hub
from halluc.scoring.benchmark import BenchmarkCard, Metric, benchmark
from halluc.scoring.judged_benchmark import JudgedBenchmark
from halluc.scoring.official import rows, text_of, unique
from halluc.scoring.rates import ratio
from halluc.scoring.sources import checksum, verify

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from halluc.scoring.benchmark import Totals
    from halluc.scoring.official import OfficialFiles

FILE = "haloquest-eval.csv"
GROUPS = ("false premises", "insufficient context", "visually challenging")
COLUMNS = ("image_name", "hallucination type", "question", "groundtruth responses")
ASK = """Is the response to the question consistent with any of the reference answers? The image \
is not shown. Reply with one word, yes or no.

Question: {question}
Reference answers: {truth}
Response: {response}
Reply:"""


@benchmark("haloquest")
class HaloQuest(JudgedBenchmark):
    """608 questions; a judge compares each answer with the reference answers.

    The authors' Auto-Eval asks Gemini; the wording put to the judge here is ours.

    Args:
        folder: haloquest-eval.csv and the images by name.
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
        dataset="google/haloquest on GitHub",
    )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Yield the questions about each of the first `limit` images.

        Raises:
            UserError: If files or images are missing, or have changed since they were first used.
        """
        if self.folder is None:
            raise UserError(f"haloquest: give a folder with {FILE} and the images")
        images = hub.ImageFolder(self.folder)
        by_image: dict[str, list[Sample]] = {}
        for number, row in _questions(self.folder / FILE).items():
            name = row["image_name"]
            images.find(name, f"{FILE}, row {number}")
            by_image.setdefault(name, []).append(
                Sample(
                    id=f"{number:04d}",
                    image_id=name,
                    prompt=row["question"],
                    load_image=partial(images.open, name),
                    target=row["groundtruth responses"],
                    group=row["hallucination type"],
                    max_new_tokens=128,
                )
            )
        verify("haloquest", {FILE: checksum(self.folder / FILE)})
        for samples in list(by_image.values())[:limit]:
            yield from samples

    def read_official(self, files: OfficialFiles) -> list[Answer]:
        """Read JSON lines of id (the table's first column) and response, with `--labels` the table.

        Raises:
            UserError: If an id is unknown, answered twice or missing.
        """
        path = files.require("labels", f"HaloQuest's {FILE}")
        questions = _questions(path)
        given = rows(files.answers)
        unique([(row.where, int(row["id"])) for row in given])
        for row in given:
            if int(row["id"]) not in questions:
                raise UserError(f"{row.where}: id {row['id']!r} is not in {path}")
        missing = sorted(set(questions) - {int(row["id"]) for row in given})
        if missing:
            raise UserError(f"{files.answers}: id {missing[0]} has no answer; truncated?")
        return [_answer(int(row["id"]), row.text("response"), questions) for row in given]

    def predict(self, answer: Answer) -> str | None:
        """The judge's "yes" or "no"; None if the reply is neither."""
        truth = "; ".join(part.strip() for part in answer.target.split(";") if part.strip())
        reply = self.ask(ASK.format(question=answer.prompt, truth=truth, response=answer.text))
        said = set(re.findall(r"\b(yes|no)\b", reply.lower()))
        return said.pop() if len(said) == 1 else None

    def right(self, answer: Answer) -> bool:
        """Whether the judge said so."""
        return bool(answer.prediction == "yes")

    def tally(self, answers: Sequence[Answer]) -> dict[str, float]:
        """Count right answers per type; one the judge's reply leaves open is wrong."""
        counts: dict[str, float] = {}
        for answer in answers:
            for name, count in (("n", 1.0), ("right", float(self.right(answer)))):
                for key in (name, f"{answer.group}/{name}"):
                    counts[key] = counts.get(key, 0.0) + count
        return counts

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Accuracy, overall and per type."""
        return {
            "accuracy": ratio(totals["right"], totals["n"]),
            **{f"{g}/accuracy": ratio(totals[f"{g}/right"], totals[f"{g}/n"]) for g in GROUPS},
        }


def _questions(path: Path) -> dict[int, dict[str, Any]]:
    table = list(csv.DictReader(text_of(path).splitlines(keepends=True)))
    missing = [name for name in COLUMNS if not table or name not in table[0]]
    if missing:
        raise UserError(f"{path}: has no column {missing[0]!r}")
    return {int(row.get("", number)): row for number, row in enumerate(table)}


def _answer(id: int, text: str, questions: dict[int, dict[str, Any]]) -> Answer:
    row = questions[id]
    return Answer(f"{id:04d}", row["image_name"], row["hallucination type"], row["question"],
                  row["groundtruth responses"], text=text)  # fmt: skip
