"""PhD: yes/no questions in four modes: plain, with misleading contexts, and on odd images."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from halluc.benchmarks._yes_no import YesNoBenchmark
from halluc.data import hub
from halluc.data.image_folder import ImageFolder
from halluc.data.pinned_files import checksum, verify
from halluc.data.records import Row, rows
from halluc.data.sample_selection import first_images
from halluc.errors import UserError
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard, Metric
from halluc.scoring.confusion_rates import ratio
from halluc.scoring.yes_no import ReadingRule, parse_words
from halluc.types import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from halluc.scoring.base import Totals

REPO = "AIMClab-RUC/PhD"
FILE = "data.json"
MODES = ("base", "sec", "icc", "ccs")
CONTEXTS = {"sec": ("sec", "iac"), "icc": ("icc",)}
"""Modes whose questions come after a context, and its names; earlier versions say iac for sec."""
TASKS = ("object", "attribute", "sentiment", "position", "count")
"""What the names of tasks begin with."""
COUNTS = ("n", "correct", "tp", "fp", "tn", "fn", "yes")
FOLLOW = (
    " In case there is an inconsistency between the context and the image content, you should "
    "follow the image. "
)
RULES = {"rules": ReadingRule(parse_words, "wrong", "the authors publish none")}


@benchmark("phd")
class PhD(YesNoBenchmark):
    """102564 questions, a pair of one with the answer yes and one with no for each fact and mode.

    The modes are base (the question alone), sec and icc (after a specious or an incorrect context)
    and ccs (generated images against common sense). The PhD Index is the harmonic mean of the
    recalls of yes and of no. The authors publish no reader: exactly one of the words yes and no is
    an answer, all else is wrong. A mode's index is of all its questions, `index` the modes' mean.

    Args:
        folder: data.json, and the images of COCO's train2014 and val2014 and of CCS_images, at any
            depth; None reads the hub.
    """

    protocol_rules = RULES
    protocols = ("rules",)
    groups = tuple(f"{mode}/{task}" for mode in MODES for task in TASKS)
    card = BenchmarkCard(
        title="PhD",
        paper="https://arxiv.org/abs/2403.11116",
        licence="MIT; images of COCO 2014",
        task="yes_no",
        metrics=(
            Metric("index", headline=True, scale=100),
            *(Metric(f"{mode}/index", headline=True, scale=100) for mode in MODES),
            *(
                Metric(f"{mode}/{name}", None if name == "yes_ratio" else True, scale=100)
                for mode in MODES
                for name in ("yes_recall", "no_recall", "accuracy", "yes_ratio")
            ),
            *(Metric(f"{mode}/{task}/index", scale=100) for mode in MODES for task in TASKS),
        ),
        citation="Liu et al., PhD: A ChatGPT-Prompted Visual Hallucination Evaluation Dataset, "
        "CVPR 2025",
        dataset=REPO,
    )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Return all questions about each of the first `limit` images.

        Raises:
            UserError: If files or images are missing or wrong, or have changed since the first use.
        """
        if self.folder is None:
            folder = hub.fetch_folder(REPO, (FILE,), unchecked=("images/*/*",))
        else:
            folder = self.folder
            verify("phd", {FILE: checksum(folder / FILE)})
        return first_images(self._asked(folder), limit)

    def _asked(self, folder: Path) -> Iterator[Sample]:
        images = ImageFolder(folder)
        for number, row in enumerate(rows(folder / FILE)):
            odd, task = "ccs_description" in row.fields, _task(row)
            image = _image(images, row, odd)
            for mode in ("ccs",) if odd else MODES[:3]:
                before = _context(row, mode) + FOLLOW if mode in CONTEXTS else ""
                for label in ("yes", "no"):
                    yield Sample(
                        id=f"{number:05d}/{mode}/{label}",
                        image_id=image,
                        prompt=before + row.text(f"{label}_question"),
                        load_image=partial(images.open, image, row.where),
                        target=label,
                        group=f"{mode}/{task}",
                    )

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return the modes' indices, recalls and accuracies, and the index of every task."""
        import numpy as np

        values: dict[str, NDArray[np.float64]] = {}
        for mode in MODES:
            counts = {
                name: np.sum([totals[f"{mode}/{task}/{name}"] for task in TASKS], axis=0)
                for name in COUNTS
            }
            values[f"{mode}/index"] = index(counts)
            values[f"{mode}/yes_recall"], values[f"{mode}/no_recall"] = recalls(counts)
            values[f"{mode}/accuracy"] = ratio(counts["correct"], counts["n"])
            values[f"{mode}/yes_ratio"] = ratio(counts["yes"], counts["n"])
            for task in TASKS:
                own = {name: totals[f"{mode}/{task}/{name}"] for name in COUNTS}
                values[f"{mode}/{task}/index"] = index(own)
        values["index"] = np.mean([values[f"{mode}/index"] for mode in MODES], axis=0)
        return values


def recalls(counts: Totals) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shares of questions with the answer yes, and with no, that are right."""
    yes = ratio(counts["tp"], counts["tp"] + counts["fn"])
    return yes, ratio(counts["tn"], counts["tn"] + counts["fp"])


def index(counts: Totals) -> NDArray[np.float64]:
    """Return the harmonic mean of the two recalls (README, "Metric"); 0 where both are 0."""
    yes, no = recalls(counts)
    return ratio(2 * yes * no, yes + no, empty=0.0)


def _task(row: Row) -> str:
    name = row.text("task")
    task = next((task for task in TASKS if name.lower().startswith(task)), None)
    if task is None:
        raise UserError(f"{row.where}: task {name!r} begins with none of {', '.join(TASKS)}")
    return task


def _context(row: Row, mode: str) -> str:
    contexts = row["context"]
    if not isinstance(contexts, dict):
        raise UserError(f"{row.where}: context is not an object of {' and '.join(CONTEXTS)}")
    return Row(f"{row.where}, context", contexts).text(*CONTEXTS[mode])


def _image(images: ImageFolder, row: Row, odd: bool) -> str:
    """Return the name of a row's image: a generated one, or COCO's in either part."""
    if odd:
        name = f"CCS_images/{row.id('image_id')}.png"
    else:
        file = f"COCO_{{0}}2014_{row.number('image_id'):012d}.jpg"
        names = [file.format(part) for part in ("train", "val")]
        name = next((name for name in names if images.has(name)), names[1])
    images.find(name, row.where)
    return name
