"""DASH-B: objects that models are systematically sure to see, and images that really show them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from halluc.samples import Answer, Sample
from halluc.scoring import hub
from halluc.scoring.benchmark import BenchmarkCard, Metric, benchmark
from halluc.scoring.official import rows, unique
from halluc.scoring.pope_files import label_of
from halluc.scoring.rates import ratio
from halluc.scoring.yes_no import Protocol, parse_substring
from halluc.scoring.yes_no_benchmark import YesNoBenchmark

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from halluc.scoring.benchmark import Totals
    from halluc.scoring.official import OfficialFiles

REPO = "YanNeu/DASH-B"
READERS = {"official": Protocol(parse_substring, "wrong", f"{REPO} src/eval_utils.py")}


@benchmark("dash_b")
class DashB(YesNoBenchmark):
    """2682 images of 70 objects, half of them without the object; an unreadable answer is wrong."""

    groups = ("all",)
    readers = READERS
    protocols = ("official",)
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
        """Yield the question of each of the first `limit` images."""
        table = self.dataset.load("test")
        for number, row in enumerate(table.rows[:limit]):
            yield Sample(
                id=f"{row['question_id']}",
                image_id=str(row["img_id"]),
                prompt=row["question"],
                load_image=partial(table.image, number),
                target=str(row["answer"]).lower(),
            )

    def read_official(self, files: OfficialFiles) -> list[Answer]:
        """Read the authors' JSON list of img_id, object_name, gt and response.

        Raises:
            UserError: If an image is asked about the same object twice, or a gt is no yes or no.
        """
        given = rows(files.answers)
        unique([(row.where, (row["img_id"], row["object_name"])) for row in given])
        if len(given) != 2682:
            self.notes.append(f"{len(given)} of 2682 questions")
        answers = []
        for number, row in enumerate(given):
            row.fields["label"] = row["gt"]
            answers.append(
                Answer(f"{number:04d}", str(row["img_id"]), "all", str(row["object_name"]),
                       label_of(row), text=row.text("response"))
            )  # fmt: skip
        return answers

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Accuracy, the two rates and their harmonic mean."""
        tp, tn = totals["all/tp"], totals["all/tn"]
        tpr, tnr = ratio(tp, tp + totals["all/fn"]), ratio(tn, tn + totals["all/fp"])
        return {
            "accuracy": ratio(totals["all/correct"], totals["all/n"]),
            "tnr": tnr,
            "tpr": tpr,
            "harmonic_mean": ratio(2 * tpr * tnr, tpr + tnr),
        }

    def official(self, totals: Mapping[str, float]) -> dict[str, float]:
        """Name the metrics as eval_utils.py does, as fractions."""
        names = {"accuracy": "ACC", "tnr": "TNR", "tpr": "TPR", "harmonic_mean": "Harmonic Mean"}
        return {names[name]: value / 100 for name, value in super().official(totals).items()}
