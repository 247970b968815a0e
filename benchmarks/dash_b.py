"""DASH-B: objects that models systematically hallucinate, and images that really show them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from halluc.benchmarks._yes_no import YesNoBenchmark
from halluc.data import hub
from halluc.data.image_folder import ImageFolder
from halluc.data.pairing import unique
from halluc.data.pinned_files import checksum, verify
from halluc.data.records import Row, json_of, rows
from halluc.data.sample_selection import first_images
from halluc.errors import UserError
from halluc.plain_text import printable
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard, Metric
from halluc.scoring.confusion_rates import ratio
from halluc.scoring.pope.answer_files import label_of
from halluc.scoring.yes_no import ReadingRule, parse_substring
from halluc.types import Answer, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from halluc.scoring.answer_files import AnswerFiles
    from halluc.scoring.base import Totals

REPO = "YanNeu/DASH-B"
RULES = {"official": ReadingRule(parse_substring, "wrong", f"{REPO} src/eval_utils.py")}
PROMPT = "Can you see a {} in this image? Please answer only with yes or no."
FILE = "dash_benchmark_{}.json"
LABELS = {"neg": "no", "pos": "yes"}


@benchmark("dash_b")
class DashB(YesNoBenchmark):
    """2682 images of 70 objects, half of them without the object; an unreadable answer is wrong.

    Args:
        folder: The authors' `images` (or a folder above it): dash_benchmark_neg.json and _pos.json,
            neg and pos with a folder a source and one an object below; None reads the hub.
    """

    groups = ("all",)
    protocol_rules = RULES
    protocols = ("official",)
    questions: ClassVar[int] = 2682
    dataset = hub.Dataset(
        REPO, {"test": "data/test-*"}, ("img_id", "question_id", "object", "question", "answer")
    )
    card = BenchmarkCard(
        title="DASH-B",
        paper="https://arxiv.org/abs/2503.23573",
        licence="see the data set's page",
        task="yes_no",
        metrics=(
            Metric("accuracy", headline=True, scale=100),
            Metric("tnr", headline=True, scale=100),
            Metric("tpr", headline=True, scale=100),
            Metric("harmonic_mean", headline=True, scale=100),
        ),
        citation="Augustin et al., DASH: Detection and Assessment of Systematic Hallucinations of "
        "VLMs, ICCV 2025",
        dataset=REPO,
    )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Return the questions about each of the first `limit` images.

        Raises:
            UserError: If files or images are missing, or have changed since they were first used.
        """
        samples = self._hub(limit) if self.folder is None else self._files(self.folder)
        return first_images(samples, limit)

    def _hub(self, limit: int | None) -> Iterator[Sample]:
        table = self.dataset.few("test", limit)
        for number, fields in enumerate(table.rows):
            row = Row(f"{REPO} row {number}", fields)
            yield Sample(
                id=str(row["question_id"]),
                image_id=str(row["img_id"]),
                prompt=row.text("question"),
                load_image=partial(table.image, number),
                target=label_of(row, "answer"),
            )

    def _files(self, folder: Path) -> Iterator[Sample]:
        lists = {part: sorted(folder.rglob(FILE.format(part))) for part in LABELS}
        if missing := [part for part, paths in lists.items() if not paths]:
            raise UserError(f"{folder}: has no {FILE.format(missing[0])} below it")
        verify("dash_b", {paths[0].name: checksum(paths[0]) for paths in lists.values()})
        images, number = ImageFolder(folder), 0
        for part, (path, *_) in lists.items():
            for source, name, file in _listed(path):
                relative = f"{part}/{source}/{name}/{file}"
                images.find(relative, str(path))
                yield Sample(
                    id=str(number),
                    image_id=file,
                    prompt=PROMPT.format(name),
                    load_image=partial(images.open, relative),
                    target=LABELS[part],
                )
                number += 1

    def read_answers(self, files: AnswerFiles) -> list[Answer]:
        """Read the authors' JSON list of img_id, object_name, gt and response.

        Raises:
            UserError: If an object of an image is asked about twice, a gt is neither yes nor no, or
                the list is not complete.
        """
        records = rows(files.answers)
        unique([(row.where, (row.id("img_id"), row.text("object_name"))) for row in records])
        if len(records) != self.questions:
            raise UserError(f"{records[-1].where}: is answer {len(records)} of {self.questions}")
        return [
            Answer(
                f"{number:04d}",
                str(row["img_id"]),
                "all",
                str(row["object_name"]),
                label_of(row, "gt"),
                text=row.text("response"),
            )
            for number, row in enumerate(records)
        ]

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return accuracy, the two rates and their harmonic mean."""
        tp, tn = totals["all/tp"], totals["all/tn"]
        tpr, tnr = ratio(tp, tp + totals["all/fn"]), ratio(tn, tn + totals["all/fp"])
        return {
            "accuracy": ratio(totals["all/correct"], totals["all/n"]),
            "tnr": tnr,
            "tpr": tpr,
            "harmonic_mean": ratio(2 * tpr * tnr, tpr + tnr),
        }

    def as_printed(self, totals: Mapping[str, float]) -> dict[str, float]:
        """Return the metrics of eval_utils.py, as fractions."""
        names = {"accuracy": "ACC", "tnr": "TNR", "tpr": "TPR", "harmonic_mean": "Harmonic Mean"}
        return {names[name]: value / 100 for name, value in super().as_printed(totals).items()}


def _listed(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield source, object and image file of every question."""
    for source, objects in json_of(path, dict).items():
        if not isinstance(objects, dict):
            raise UserError(f"{path}: {source!r} is not a JSON object of objects and image files")
        row = Row(f"{path}, {printable(source)}", objects)
        yield from ((source, name, file) for name in objects for file in row.texts(name))
