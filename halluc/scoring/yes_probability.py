"""Scores from the log-probabilities of yes and no, next to those of the parsed answer.

A method may gain accuracy by answering yes less often and be no better at telling what is there.
AUROC does not move with such a bias, and accuracy at the best threshold says what it costs.
"""

from __future__ import annotations

from math import exp, isfinite
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from halluc.scoring.base import Benchmark
    from halluc.types import Answer

    Array = NDArray[np.float64]

BINS = 15
SCORES = (
    "auroc",
    "average_precision",
    "accuracy",
    "best_accuracy",
    "best_threshold",
    "ece",
    "brier",
)


def logit_scores(benchmark: Benchmark, answers: Iterable[Answer]) -> dict[str, dict[str, float]]:
    """Score the stored log-probabilities of yes and no.

    Args:
        benchmark: Knows the right answers.
        answers: Of a run. Failed ones, and those to other than yes/no questions, are left out.

    Returns:
        A group's name, and "all", to its `probability_scores`, with "without_probability", the
        number of answers that the scores leave out because their log-probabilities are missing or
        not finite. Empty if no answer has log-probabilities.
    """
    asked = [
        (answer, label == "yes")
        for answer in answers
        if answer.status == "ok" and (label := benchmark.label(answer)) is not None
    ]
    if all(answer.yes_no is None for answer, _ in asked):
        return {}
    groups: dict[str, list[tuple[float | None, bool]]] = {}
    for answer, is_yes in asked:
        for name in dict.fromkeys((answer.group, "all")):
            groups.setdefault(name, []).append((p_yes(*(answer.yes_no or (None, None))), is_yes))
    return {name: _group_scores(group) for name, group in groups.items()}


def _group_scores(group: Sequence[tuple[float | None, bool]]) -> dict[str, float]:
    known = [(p, is_yes) for p, is_yes in group if p is not None]
    scores = probability_scores([p for p, _ in known], [is_yes for _, is_yes in known])
    return {**scores, "without_probability": float(len(group) - len(known))}


def p_yes(yes: float | None, no: float | None) -> float | None:
    """Return the probability of yes among the two, from their log-probabilities.

    Returns:
        None unless both are finite numbers: a file has null for those that are not.
    """
    if yes is None or no is None or not (isfinite(yes) and isfinite(no)):
        return None
    return 1 / (1 + exp(min(no - yes, 700.0)))


def probability_scores(probabilities: Sequence[float], truth: Sequence[bool]) -> dict[str, float]:
    """Score probabilities of yes.

    Returns:
        auroc and average_precision (nan where one label is missing), accuracy (at one half),
        best_accuracy and its best_threshold (yes at or above it), ece (15 equal bins), brier and
        n. All but n are nan where there are none.
    """
    import numpy as np
    from sklearn.metrics import average_precision_score, roc_auc_score

    if not probabilities:
        return dict.fromkeys(SCORES, float("nan")) | {"n": 0.0}
    p, is_yes = np.asarray(probabilities, dtype=float), np.asarray(truth, dtype=bool)
    both = is_yes.any() and not is_yes.all()
    best = best_accuracy(p, is_yes)
    return {
        "auroc": float(roc_auc_score(is_yes, p)) if both else float("nan"),
        "average_precision": float(average_precision_score(is_yes, p)) if both else float("nan"),
        "accuracy": float(((p >= 0.5) == is_yes).mean()),
        "best_accuracy": best.accuracy,
        "best_threshold": best.threshold,
        "ece": calibration_error(p, is_yes),
        "brier": float(((p - is_yes) ** 2).mean()),
        "n": float(len(p)),
    }


class BestAccuracy(NamedTuple):
    """The best accuracy that any threshold reaches, and the lowest such threshold."""

    accuracy: float
    threshold: float


def best_accuracy(p: Array, is_yes: NDArray[np.bool_]) -> BestAccuracy:
    """Find the threshold on p(yes) that answers most questions right.

    Args:
        p: [n], probabilities of yes.
        is_yes: [n].
    """
    import numpy as np

    thresholds = np.append(np.unique(p), np.inf)
    order = np.argsort(p)
    below = np.searchsorted(p[order], thresholds)  # answered no
    right_no = np.concatenate([[0], np.cumsum(~is_yes[order])])[below]
    right_yes = is_yes.sum() - np.concatenate([[0], np.cumsum(is_yes[order])])[below]
    accuracy = (right_no + right_yes) / len(p)
    best = int(accuracy.argmax())
    return BestAccuracy(float(accuracy[best]), float(thresholds[best]))


def calibration_error(p: Array, is_yes: NDArray[np.bool_], bins: int = BINS) -> float:
    """Expected calibration error: |share of yes - mean probability|, weighted over equal bins."""
    import numpy as np

    bin_of = np.minimum((p * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, weights=is_yes - p, minlength=bins)
    return float(np.abs(gaps).sum() / len(p))
