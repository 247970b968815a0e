"""NaturalBench: two questions about two images each, with opposite answers."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from halluc.data.hub import Dataset
from halluc.data.records import Row, json_of
from halluc.data.sample_selection import first_images
from halluc.errors import UserError
from halluc.scoring.base import Benchmark, benchmark
from halluc.scoring.card import BenchmarkCard, Metric
from halluc.scoring.choice import likeliest, listed
from halluc.scoring.confusion_rates import ratio
from halluc.scoring.yes_probability import p_yes
from halluc.types import Answer, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from halluc.scoring.answer_files import AnswerFiles
    from halluc.scoring.base import Totals
    from halluc.types import Reading

REPO = "BaiqiL/NaturalBench"
REVISION = "21c415e3d60cdbabad4a02feaa2e4643789612f4"
ENDINGS = {
    "yes_no": "Please answer Yes or No.",
    "multiple_choice": "Please output the letter corresponding to the correct option.",
}
WORDS = {"yes_no": ("yes", "no"), "multiple_choice": ("A", "B")}
ASKED = (("q0", "i0"), ("q0", "i1"), ("q1", "i0"), ("q1", "i1"))
"""The questions about a row's images, in the authors' order."""
PAIRS = {
    "q": (("q0_i0", "q0_i1"), ("q1_i0", "q1_i1")),
    "i": (("q0_i0", "q1_i0"), ("q0_i1", "q1_i1")),
}
MARKER = r"[;\s]+LETTER: ?"
COLUMNS = (
    "Index",
    *(f"Question_{q}" for q in (0, 1)),
    *(f"Image_{i}_Question_{q}" for q in (0, 1) for i in (0, 1)),
    "Question_Type",
)
SCORES = ("g_acc", "q_acc", "i_acc", "accuracy", "accuracy_by_logits")


@benchmark("naturalbench")
class NaturalBench(Benchmark):
    """1900 groups of two images and two questions; a question's answers to the images differ.

    A group counts where all four answers are right, a question where both answers to it are, an
    image where both answers about it are (naturalbench_vqa.py). Whoever ignores the image gets half
    of the answers right, and no group.
    """

    protocols = ("official",)
    prompts: ClassVar[Mapping[str, str]] = {"official": "", "lmms-eval": " "}
    """What stands between a question and its ending."""
    dataset = Dataset(REPO, {"train": "data/train-*.parquet"}, COLUMNS, REVISION, image="Image_0")
    card = BenchmarkCard(
        title="NaturalBench",
        paper="https://arxiv.org/abs/2410.14669",
        licence="Apache-2.0; images of Flickr30K, DOCCI and XM3600",
        task="choice",
        metrics=tuple(Metric(name, headline=True, scale=100) for name in SCORES),
        citation="Li et al., NaturalBench: Evaluating Vision-Language Models on Natural "
        "Adversarial Samples, NeurIPS 2024",
        dataset=REPO,
        revision=REVISION,
        split="train",
        size=(3800, 7600),
    )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Yield both questions about each image; a limit that would split a group is raised by one.

        Raises:
            UserError: If the data set cannot be fetched or has changed, or a row of it is wrong.
        """
        if self.folder is not None:
            raise UserError(f"naturalbench: takes no folder; its data is {REPO} on the hub")
        images = None if limit is None else limit + limit % 2
        return first_images(self._asked(images), images)

    def _asked(self, limit: int | None = None) -> Iterator[Sample]:
        table = self.dataset.few("train", limit)
        images = {"i0": table, "i1": table.with_image("Image_1")}
        for number, fields in enumerate(table.rows):
            row = Row(f"{REPO} row {number}", fields)
            kind, group = row.text("Question_Type"), f"{row.number('Index'):04d}"
            if kind not in ENDINGS:
                raise UserError(f"{row.where}: type {kind!r} is not {' or '.join(ENDINGS)}")
            for q, i in ASKED:
                text = row.text(f"Question_{q[1]}")
                letters = dict.fromkeys("AB", "") | listed(text, MARKER, "AB").options
                yield Sample(
                    id=f"{group}/{q}_{i}",
                    image_id=f"{group}_{i}",
                    prompt=text + self.prompts[self.prompt] + ENDINGS[kind],
                    load_image=partial(images[i].image, number),
                    target=_truth(row, f"Image_{i[1]}_Question_{q[1]}", kind),
                    group=kind,
                    options=() if kind == "yes_no" else tuple(letters.items()),
                )

    def read_answers(self, files: AnswerFiles) -> list[Answer]:
        """Read a JSON list of 7600 texts, the authors' `output_file`, in the order of the data set.

        The data set must be in the hub's cache, or can be fetched.

        Raises:
            UserError: If it is not a list of texts, or of another length.
        """
        texts = Row(str(files.answers), {"answers": json_of(files.answers, list)}).texts("answers")
        asked = list(self._asked())
        if len(texts) != len(asked):
            raise UserError(f"{files.answers}: has {len(texts)} answers to {len(asked)} questions")
        return [Answer.of(sample, text=text) for sample, text in zip(asked, texts, strict=True)]

    def cluster(self, answer: Answer) -> str:
        """Return the group of two images."""
        return answer.id.partition("/")[0]

    def label(self, answer: Answer) -> str | None:
        """Return the right answer of a yes/no question."""
        return str(answer.target) if answer.group == "yes_no" else None

    def predict(self, answer: Answer) -> str | None:
        """Return yes, no, A or B: the one of the two words that comes first; None without any."""
        words = WORDS[answer.group]
        read = re.search(rf"\b({'|'.join(words)})\b", answer.text, re.IGNORECASE)
        if read is None:
            return None
        return next(word for word in words if word.lower() == read[1].lower())

    def right(self, reading: Reading) -> bool:
        """Return whether the right word was read."""
        return bool(reading.prediction == reading.target)

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        """Count a group's right answers; and questions, images and the group, if all are there."""
        right = {reading.id.partition("/")[2]: self.right(reading) for reading in readings}
        said = [(_by_logits(reading.answer), reading.target) for reading in readings]
        known = [(word, truth) for word, truth in said if word is not None]
        totals = {
            "n": float(len(right)),
            "right": float(sum(right.values())),
            "by_logits/n": float(len(known)),
            "by_logits/right": float(sum(word == truth for word, truth in known)),
        }
        if len(right) == len(ASKED):
            for part, pairs in PAIRS.items():
                both = [right[one] and right[other] for one, other in pairs]
                totals[f"{part}/right"] = float(sum(both))
            totals |= {"groups": 1.0, "g/right": float(all(right.values()))}
        return totals

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return the shares of groups, questions, images and answers that are right."""
        return {
            "g_acc": ratio(totals["g/right"], totals["groups"]),
            "q_acc": ratio(totals["q/right"], 2 * totals["groups"]),
            "i_acc": ratio(totals["i/right"], 2 * totals["groups"]),
            "accuracy": ratio(totals["right"], totals["n"]),
            "accuracy_by_logits": ratio(totals["by_logits/right"], totals["by_logits/n"]),
        }

    def as_printed(self, totals: Mapping[str, float]) -> dict[str, Any]:
        """Return what get_scores returns, as fractions."""
        values = super().as_printed(totals)
        names = {"Q_Acc": "q_acc", "I_Acc": "i_acc", "Acc": "accuracy", "G_Acc": "g_acc"}
        return {printed: values[name] / 100 for printed, name in names.items()}


def _truth(row: Row, name: str, kind: str) -> str:
    words = {word.lower(): word for word in WORDS[kind]}
    if (truth := row.text(name).strip().lower()) not in words:
        raise UserError(f"{row.where}: {name} {truth!r} is not {' or '.join(words)}")
    return words[truth]


def _by_logits(answer: Answer) -> str | None:
    """Return the likelier of the two words."""
    if answer.group != "yes_no":
        return likeliest(answer.letters)
    p = None if answer.yes_no is None else p_yes(*answer.yes_no)
    return None if p is None else "yes" if p >= 0.5 else "no"
