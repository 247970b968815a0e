"""Rates of yes/no answers from summed counts: accuracy, precision, recall, F1, yes ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halluc.scoring.yes_no import ReadingRule, Verdict, resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from halluc.types import Reading

    Array = NDArray[np.float64]

COUNTS = ("n", "correct", "tp", "fp", "tn", "fn", "yes", "unread")
RATES = ("accuracy", "precision", "recall", "f1", "yes_ratio")
NAN = float("nan")


def ratio(part: Array, whole: Array, empty: float = NAN) -> Array:
    """Divide elementwise; `empty` where the whole is 0."""
    import numpy as np

    quotient: Array = np.full(np.shape(whole), empty)
    np.divide(part, whole, out=quotient, where=whole != 0)
    return quotient


def confusion(verdict: Verdict | None, label: str, rule: ReadingRule) -> dict[str, float]:
    """Count one answer.

    Args:
        verdict: The result of the rule's parser.
        label: "yes" or "no".

    Returns:
        `COUNTS`, each 0 or 1; "yes" is 1 if the answer counts as yes, "unread" if it is unreadable.
    """
    counts = dict.fromkeys(COUNTS, 0.0)
    counts["unread"] = float(verdict is None)
    answer = resolve(verdict, label, rule)
    if answer is None and rule.unread == "dropped":
        return counts
    counts["n"] = 1.0
    counts["correct"] = float(answer == label)
    counts["yes"] = float((label if rule.gold_yes_ratio else answer) == "yes")
    if answer is None and rule.unread == "no_but_wrong":
        answer = "no"
    if answer is not None:
        cell = ("t" if answer == label else "f") + ("p" if answer == "yes" else "n")
        counts[cell] = 1.0
    return counts


def rates(counts: Mapping[str, Array], zero_division: float = NAN) -> dict[str, Array]:
    """Turn summed counts into `RATES`, elementwise.

    F1 is 2tp / (2tp + fp + fn): the harmonic mean of precision and recall wherever that exists,
    and 0 where nothing true was found.
    """
    tp, fp, fn, n = counts["tp"], counts["fp"], counts["fn"], counts["n"]
    return {
        "accuracy": ratio(counts["correct"], n),
        "precision": ratio(tp, tp + fp, zero_division),
        "recall": ratio(tp, tp + fn, zero_division),
        "f1": ratio(2 * tp, 2 * tp + fp + fn, zero_division),
        "yes_ratio": ratio(counts["yes"], n),
    }


def as_printed(counts: Mapping[str, float]) -> dict[str, float]:
    """Return rates as POPE's evaluate.py prints them; nan where it divides by 0."""
    sums = {name: float(counts[name]) for name in COUNTS}
    tp, fp, fn, n = sums["tp"], sums["fp"], sums["fn"], sums["n"]
    return {
        "TP": tp,
        "FP": fp,
        "TN": sums["tn"],
        "FN": fn,
        "Accuracy": sums["correct"] / n if n else NAN,
        "Precision": tp / (tp + fp) if tp + fp else NAN,
        "Recall": tp / (tp + fn) if tp + fn else NAN,
        "F1 score": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else NAN,
        "Yes ratio": sums["yes"] / n if n else NAN,
    }


def tally(readings: Iterable[Reading], rule: ReadingRule) -> dict[str, float]:
    """Count parsed answers whose target is "yes" or "no"; names are "group/count"."""
    totals: dict[str, float] = {}
    for reading in readings:
        for name, count in confusion(reading.prediction, reading.target, rule).items():
            name = f"{reading.group}/{name}"
            totals[name] = totals.get(name, 0.0) + count
    return totals


def group_rates(
    totals: Mapping[str, Array], groups: Sequence[str], rule: ReadingRule
) -> dict[str, Array]:
    """Return "group/rate" for every group, then every rate's unweighted mean over the groups."""
    import numpy as np

    named = {
        group: rates({name: totals[f"{group}/{name}"] for name in COUNTS}, rule.zero_division)
        for group in groups
    }
    values = {f"{group}/{rate}": named[group][rate] for group in groups for rate in RATES}
    means = {rate: np.mean([named[group][rate] for group in groups], axis=0) for rate in RATES}
    return {**values, **means}
