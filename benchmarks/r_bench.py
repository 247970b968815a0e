"""R-Bench, image level: is the relation in the image?"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError
from halluc.samples import Answer, Sample
from halluc.scoring import hub
from halluc.scoring.benchmark import BenchmarkCard, benchmark
from halluc.scoring.official import rows, text_of, unique
from halluc.scoring.rates import COUNTS, confusion
from halluc.scoring.sources import checksum, verify
from halluc.scoring.yes_no_benchmark import YesNoBenchmark, rate_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from halluc.scoring.official import OfficialFiles

QUESTIONS = "image-level_filterd.json"
SUBSET = "nocaps_image-level_rel_ids_{}.json"
SUBSETS = ("1", "2", "3", "4", "5")
EPSILON = 0.00001


@benchmark("r_bench")
class RBench(YesNoBenchmark):
    """Yes/no questions on relations, averaged over the authors' five balanced subsets.

    Args:
        folder: image-level_filterd.json, nocaps_image-level_rel_ids_1.json to _5.json, the images.
    """

    groups = SUBSETS
    protocols = ("official",)
    card = BenchmarkCard(
        title="R-Bench (image level)",
        paper="https://arxiv.org/abs/2406.16449",
        licence="Apache-2.0; images of Open Images",
        task="yes_no",
        metrics=rate_metrics(SUBSETS, headline=("accuracy", "f1")),
        citation="Wu et al., Evaluating and Analyzing Relationship Hallucinations in Large "
        "Vision-Language Models, ICML 2024",
        dataset="mrwu-mac/R-Bench, by the authors' link",
    )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Yield all questions about each of the first `limit` images.

        Raises:
            UserError: If files or images are missing, or have changed since they were first used.
        """
        if self.folder is None:
            raise UserError(
                f"r_bench: give a folder with {QUESTIONS}, {SUBSET.format(1)} and so on"
            )
        images = hub.ImageFolder(self.folder)
        by_image: dict[str, list[Sample]] = {}
        verify("r_bench", {QUESTIONS: checksum(self.folder / QUESTIONS)})
        for id, question in _questions(self.folder / QUESTIONS).items():
            name = str(question["image"])
            images.find(name, question["where"])
            by_image.setdefault(name, []).append(
                Sample(
                    id=str(id),
                    image_id=name,
                    prompt=question["text"],
                    load_image=partial(images.open, name),
                    target={"label": question["label"], "subsets": question["subsets"]},
                )
            )
        for samples in list(by_image.values())[:limit]:
            yield from samples

    def read_official(self, files: OfficialFiles) -> list[Answer]:
        """Read JSON lines of question_id and text, with `--labels` image-level_filterd.json.

        The subsets' id lists lie beside the labels. Every question of a subset must be answered,
        while the authors' script skips those that are not.

        Raises:
            UserError: If a question is unknown, answered twice, or missing.
        """
        questions = _questions(files.require("labels", f"R-Bench's {QUESTIONS}"))
        given = rows(files.answers)
        unique([(row.where, row["question_id"]) for row in given])
        for row in given:
            if row["question_id"] not in questions:
                raise UserError(f"{row.where}: question {row['question_id']!r} is not asked")
        answered = {row["question_id"] for row in given}
        missing = [id for id, q in questions.items() if q["subsets"] and id not in answered]
        if missing:
            raise UserError(f"{files.answers}: question {missing[0]!r} has no answer; truncated?")
        return [_answer(row["question_id"], row.text("text"), questions) for row in given]

    def label(self, answer: Answer) -> str:
        """The right answer, "yes" or "no"."""
        return str(answer.target["label"])

    def tally(self, answers: Sequence[Answer]) -> dict[str, float]:
        """Count the confusion matrix of every subset a question is in."""
        totals: dict[str, float] = {}
        for answer in answers:
            cells = confusion(answer.prediction, self.label(answer), self.reader)
            for subset in answer.target["subsets"]:
                for name, count in cells.items():
                    totals[f"{subset}/{name}"] = totals.get(f"{subset}/{name}", 0.0) + count
        return totals

    def official(self, totals: Mapping[str, float]) -> dict[str, Any]:
        """Print as eval.py does: percentages averaged over the subsets, its small numbers added."""
        subsets = [_printed(totals, subset) for subset in self.groups if totals[f"{subset}/n"]]
        names = subsets[0]
        return {n: round(sum(100 * s[n] for s in subsets) / len(subsets), 2) for n in names}


def _printed(totals: Mapping[str, float], subset: str) -> dict[str, float]:
    n, correct, tp, fp, _, fn, yes, _ = (totals[f"{subset}/{name}"] for name in COUNTS)
    precision, recall = tp / (tp + fp + EPSILON), tp / (tp + fn + EPSILON)
    return {
        "Accuracy": correct / n,
        "Precision": precision,
        "Recall": recall,
        "F1 score": 2 * precision * recall / (precision + recall + EPSILON),
        "Yes ratio": yes / n,
    }


def _questions(path: Path) -> dict[Any, dict[str, Any]]:
    """Questions by id, each with the subsets it is in."""
    asked = rows(path)
    unique([(row.where, row["question_id"]) for row in asked])
    members: dict[Any, list[str]] = {}
    for subset in SUBSETS:
        for id in json.loads(text_of(path.parent / SUBSET.format(subset))):
            members.setdefault(id, []).append(subset)
    return {
        row["question_id"]: {
            "image": row["image"],
            "text": row["text"],
            # anything with "no" in it is no, there as here
            "label": "no" if "no" in str(row["label"]).lower() else "yes",
            "subsets": members.get(row["question_id"], []),
            "where": row.where,
        }
        for row in asked
    }


def _answer(id: Any, text: str, questions: Mapping[Any, Mapping[str, Any]]) -> Answer:
    question = questions[id]
    target = {"label": question["label"], "subsets": question["subsets"]}
    return Answer(str(id), str(question["image"]), "all", question["text"], target, text=text)
