"""What MME and its drawn counterpart share."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from halluc.scoring import mme, yes_no
from halluc.scoring.benchmark import Benchmark, Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from halluc.samples import Answer
    from halluc.scoring.benchmark import Totals


def score_metrics(subtasks: Sequence[str]) -> tuple[Metric, ...]:
    """Describe accuracy, accuracy+ and score of every subtask, and the total."""
    parts = [
        metric
        for subtask in subtasks
        for metric in (
            Metric(f"{subtask}/score", headline=True),
            Metric(f"{subtask}/accuracy", scale=100),
            Metric(f"{subtask}/accuracy_plus", scale=100),
        )
    ]
    return (*parts, Metric("total", headline=True))


class MmeBenchmark(Benchmark):
    """Pairs of yes/no questions about an image, in subtasks that are scored out of 200 each.

    Subclasses give `card`, `subtasks` and `samples`; samples of a pair follow one another by id.
    """

    subtasks: ClassVar[tuple[str, ...]]
    protocols = tuple(yes_no.MME)

    def predict(self, answer: Answer) -> yes_no.Verdict | None:
        """Say what the protocol reads: "yes" or "no"; None, which is wrong, where neither."""
        return yes_no.MME[self.protocol].parse(answer.text)

    def tally(self, answers: Sequence[Answer]) -> dict[str, float]:
        """Count right answers and pairs with both right."""
        return mme.tally(answers)

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Scores of every subtask, and their total."""
        return mme.scores(totals, self.subtasks)
