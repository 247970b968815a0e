"""MME's scores: accuracy, accuracy+ and their sum, per subtask.

Fu et al., "MME: A Comprehensive Evaluation Benchmark for Multimodal Large Language Models"
(arXiv 2306.13394), eval_tool/calculation.py.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from halluc.scoring.confusion_rates import ratio

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from halluc.types import Reading

    Array = NDArray[np.float64]

HALLUCINATION = ("existence", "count", "position", "color")
PERCEPTION = (*HALLUCINATION, "posters", "celebrity", "scene", "landmark", "artwork", "OCR")
COGNITION = (
    "commonsense_reasoning",
    "numerical_calculation",
    "text_translation",
    "code_reasoning",
)
ROWS = dict.fromkeys((*PERCEPTION, *COGNITION), 40) | {
    **dict.fromkeys(HALLUCINATION, 60),
    **dict.fromkeys(("scene", "landmark", "artwork"), 400),
    "posters": 294,
    "celebrity": 340,
    "commonsense_reasoning": 140,
}
"""The number of questions of each subtask."""


def tally(readings: Iterable[Reading]) -> dict[str, float]:
    """Count right answers, and pairs with both right, per subtask.

    Args:
        answers: The parsed answers about one image. Two consecutive ones of a subtask, by id, are
            a pair, as lines are in MME's files; one whose partner failed is not in a pair.
    """
    subtasks: dict[str, list[Reading]] = {}
    for reading in sorted(readings, key=lambda reading: reading.id):
        subtasks.setdefault(reading.group, []).append(reading)
    counts: Counter[str] = Counter()
    for subtask, parsed in subtasks.items():
        right = [reading.prediction == reading.target for reading in parsed]
        pairs = list(zip(right[::2], right[1::2], strict=False))
        counts[f"{subtask}/n"] = len(right)
        counts[f"{subtask}/correct"] = sum(right)
        counts[f"{subtask}/pairs"] = len(pairs)
        counts[f"{subtask}/both"] = sum(first and second for first, second in pairs)
        for reading in parsed:
            counts[f"{subtask}/{_cell(reading)}"] += 1
    return {name: float(count) for name, count in counts.items()}


def _cell(reading: Reading) -> str:
    """Return TP, FP, TN or FN; "other" if unreadable, which precision and recall leave out."""
    if reading.prediction is None:
        return "other"
    return ("T" if reading.prediction == reading.target else "F") + (
        "P" if reading.prediction == "yes" else "N"
    )


def as_printed(totals: Mapping[str, float], subtask: str) -> dict[str, float]:
    """Return a subtask's counts under the names of calculation.py, with the score it prints."""
    tp, fp, fn = (totals[f"{subtask}/{cell}"] for cell in ("TP", "FP", "FN"))
    accuracy = totals[f"{subtask}/correct"] / totals[f"{subtask}/n"]
    plus = totals[f"{subtask}/both"] / totals[f"{subtask}/pairs"]
    return {
        "score": 100 * accuracy + 100 * plus,
        "acc": accuracy,
        "acc_plus": plus,
        "precision": tp / (tp + fp) if tp + fp else 0.0,
        "recall": tp / (tp + fn) if tp + fn else 0.0,
        "TP": tp,
        "FN": fn,
        "TN": totals[f"{subtask}/TN"],
        "FP": fp,
        "other_num": totals[f"{subtask}/other"],
    }


def scores(totals: Mapping[str, Array], subtasks: Sequence[str]) -> dict[str, Array]:
    """Return accuracy, accuracy_plus and score (of 200) by subtask, and the scores' total."""
    import numpy as np

    values: dict[str, Array] = {}
    for subtask in subtasks:
        accuracy = ratio(totals[f"{subtask}/correct"], totals[f"{subtask}/n"])
        plus = ratio(totals[f"{subtask}/both"], totals[f"{subtask}/pairs"])
        values[f"{subtask}/accuracy"] = accuracy
        values[f"{subtask}/accuracy_plus"] = plus
        values[f"{subtask}/score"] = 100 * accuracy + 100 * plus
    values["total"] = np.sum([values[f"{subtask}/score"] for subtask in subtasks], axis=0)
    return values
