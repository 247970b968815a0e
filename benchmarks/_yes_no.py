"""The base of benchmarks of yes/no questions: a protocol that reads answers, rates by group."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from halluc.scoring import yes_no
from halluc.scoring.base import Benchmark
from halluc.scoring.card import Metric
from halluc.scoring.confusion_rates import RATES, confusion, group_rates, tally

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from halluc.scoring.base import Totals
    from halluc.types import Answer, Reading


def rate_metrics(groups: Sequence[str], headline: Sequence[str]) -> tuple[Metric, ...]:
    """Describe "group/rate" for every group, then every rate's mean over the groups."""
    names = [f"{group}/{rate}" for group in groups for rate in RATES]
    return tuple(
        Metric(
            name,
            higher_is_better=None if name.endswith("yes_ratio") else True,
            headline=name in headline,
            scale=100,
        )
        for name in [*names, *RATES]
    )


class YesNoBenchmark(Benchmark):
    """Questions whose target is "yes" or "no", in groups that are scored apart and averaged.

    Subclasses define `card`, `groups` and `samples`.
    """

    groups: tuple[str, ...]
    protocol_rules: ClassVar[Mapping[str, yes_no.ReadingRule]] = yes_no.POPE
    protocols = tuple(yes_no.POPE)

    @property
    def protocol_rule(self) -> yes_no.ReadingRule:
        """The rule by which the protocol reads answers."""
        return self.protocol_rules[self.protocol]

    def predict(self, answer: Answer) -> yes_no.Verdict | None:
        """Return "yes", "no" or "both", as the protocol reads it; None if neither."""
        return self.protocol_rule.parse(answer.text)

    def right(self, reading: Reading) -> bool | None:
        """Return whether the protocol counts it as right; None if it drops the answer."""
        label = self.label(reading.answer)
        counts = confusion(reading.prediction, label, self.protocol_rule) if label else {"n": 0.0}
        return bool(counts["correct"]) if counts["n"] else None

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        """Count the confusion matrix of every group."""
        return tally(readings, self.protocol_rule)

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return the rates of every group, and their means."""
        return group_rates(totals, self.groups, self.protocol_rule)
