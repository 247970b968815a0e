"""R-Bench, image level: is the relation in the image?"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from halluc.benchmarks._yes_no import YesNoBenchmark, rate_metrics
from halluc.data.image_folder import ImageFolder
from halluc.data.pairing import by_id, unique
from halluc.data.pinned_files import checksum, verify
from halluc.data.records import Row, json_of, rows
from halluc.data.sample_selection import first_images
from halluc.errors import UserError
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard
from halluc.scoring.confusion_rates import COUNTS, confusion
from halluc.types import Answer, Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from halluc.scoring.answer_files import AnswerFiles

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

    @property
    def files_needed(self) -> str:
        """What the folder has to hold, in words."""
        return f"{QUESTIONS}, {SUBSET.format(1)} and so on"

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Return all questions about each of the first `limit` images.

        Raises:
            UserError: If files or images are missing, or have changed since they were first used.
        """
        return first_images(self._asked(self.given()), limit)

    def _asked(self, folder: Path) -> Iterator[Sample]:
        images = ImageFolder(folder)
        questions = _questions(folder / QUESTIONS)
        files = (QUESTIONS, *map(SUBSET.format, SUBSETS))
        verify("r_bench", {name: checksum(folder / name) for name in files})
        for id, question in questions.items():
            images.find(question.image, question.where)
            yield Sample(
                id=str(id),
                image_id=question.image,
                prompt=question.text,
                load_image=partial(images.open, question.image),
                target=question.target,
            )

    def read_answers(self, files: AnswerFiles) -> list[Answer]:
        """Read JSON lines of question_id and text, with `--labels` image-level_filterd.json.

        The subsets' id lists are next to the labels. Every question of a subset must be answered;
        the authors' script skips questions without an answer.

        Raises:
            UserError: If a question is unknown, answered twice, or missing.
        """
        questions = _questions(files.require("labels", f"R-Bench's {QUESTIONS}"))
        needed = [id for id, question in questions.items() if question.target["subsets"]]
        answered = by_id(rows(files.answers), "question_id", questions, needed)
        return [
            Answer(
                str(id),
                questions[id].image,
                "all",
                questions[id].text,
                questions[id].target,
                text=row.text("text"),
            )
            for id, row in answered.items()
        ]

    def label(self, answer: Answer) -> str | None:
        """Return the right answer."""
        return str(answer.target["label"])

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        """Count the confusion matrix of every subset that a question is in."""
        totals: dict[str, float] = {}
        for reading in readings:
            cells = confusion(reading.prediction, reading.target["label"], self.protocol_rule)
            for subset in reading.target["subsets"]:
                for name, count in cells.items():
                    totals[f"{subset}/{name}"] = totals.get(f"{subset}/{name}", 0.0) + count
        return totals

    def as_printed(self, totals: Mapping[str, float]) -> dict[str, Any]:
        """Return what eval.py prints: percentages averaged over subsets, with its epsilons."""
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


class _Question(NamedTuple):
    image: str
    text: str
    target: dict[str, Any]
    where: str


def _questions(path: Path) -> dict[int | str, _Question]:
    """Return questions by id; a target is the label and the subsets that have the question."""
    records = rows(path)
    position = unique([(row.where, row.id("question_id")) for row in records])
    members: dict[int | str, list[str]] = {id: [] for id in position}
    for subset in SUBSETS:
        ids = path.parent / SUBSET.format(subset)
        for id in _ids(ids):
            if id not in members:
                raise UserError(f"{ids}: question {id!r} is not in {path.name}")
            members[id].append(subset)
    questions = {}
    for id, number in position.items():
        row = records[number]
        # as in the authors' script, anything with "no" in it is no
        label = "no" if "no" in row.text("label").lower() else "yes"
        target = {"label": label, "subsets": members[id]}
        questions[id] = _Question(row.text("image"), row.text("text"), target, row.where)
    return questions


def _ids(path: Path) -> list[int | str]:
    return [Row(str(path), {"id": id}).id("id") for id in json_of(path, list)]
