"""What the log-probabilities of yes and no say, beside the parsed answer.

A method may gain accuracy by answering yes less often and be no better at telling what is there.
AUROC does not move with such a bias, and accuracy at the best threshold says what it costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from halluc.scoring.base import Benchmark
    from halluc.types import Answer

    Array = NDArray[np.float64]

BINS = 15


def logit_scores(benchmark: Benchmark, answers: Iterable[Answer]) -> dict[str, dict[str, float]]:
    """Score the stored log-probabilities of yes and no.

    Args:
        benchmark: Knows the right answers.
        answers: Of a run; those without log-probabilities, or to no yes/no question, are left out.

    Returns:
        A group's name, and "all", to `probability_scores`; nothing where no answer has logits.
    """
    groups: dict[str, list[tuple[float, bool]]] = {}
    for answer in answers:
        label = benchmark.label(answer)
        if answer.yes_no is not None and label is not None and answer.status == "ok":
            for name in dict.fromkeys((answer.group, "all")):
                groups.setdefault(name, []).append((p_yes(*answer.yes_no), label == "yes"))
    return {
        name: probability_scores([p for p, _ in group], [is_yes for _, is_yes in group])
        for name, group in groups.items()
    }


def p_yes(yes: float, no: float) -> float:
    """The probability of yes among the two, from their log-probabilities."""
    from math import exp

    return 1 / (1 + exp(min(no - yes, 700.0)))


def probability_scores(probabilities: Sequence[float], truth: Sequence[bool]) -> dict[str, float]:
    """Score probabilities of yes.

    Returns:
        auroc and average_precision (nan where one label is missing), accuracy (at one half),
        best_accuracy and its best_threshold (yes at or above it), ece (15 equal bins), brier and
        n.
    """
    import numpy as np
    from sklearn.metrics import average_precision_score, roc_auc_score

    p, is_yes = np.asarray(probabilities, dtype=float), np.asarray(truth, dtype=bool)
    both = is_yes.any() and not is_yes.all()
    best, threshold = best_accuracy(p, is_yes)
    return {
        "auroc": float(roc_auc_score(is_yes, p)) if both else float("nan"),
        "average_precision": float(average_precision_score(is_yes, p)) if both else float("nan"),
        "accuracy": float(((p >= 0.5) == is_yes).mean()),
        "best_accuracy": best,
        "best_threshold": threshold,
        "ece": calibration_error(p, is_yes),
        "brier": float(((p - is_yes) ** 2).mean()),
        "n": float(len(p)),
    }


def best_accuracy(p: Array, is_yes: NDArray[np.bool_]) -> tuple[float, float]:
    """The best accuracy any threshold reaches, and the lowest such threshold.

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
    return float(accuracy[best]), float(thresholds[best])


def calibration_error(p: Array, is_yes: NDArray[np.bool_], bins: int = BINS) -> float:
    """Expected calibration error: |share of yes - mean probability|, weighted over equal bins."""
    import numpy as np

    place = np.minimum((p * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=is_yes - p, minlength=bins)
    return float(np.abs(gaps).sum() / len(p))
