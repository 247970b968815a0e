"""MME's scores: accuracy, accuracy+ and their sum, per subtask.

Fu et al., "MME: A Comprehensive Evaluation Benchmark for Multimodal Large Language Models"
(arXiv 2306.13394), eval_tool/calculation.py.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from halluc.scoring.rates import ratio

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from halluc.samples import Answer

    Array = NDArray[np.float64]

HALLUCINATION = ("existence", "count", "position", "color")


def tally(answers: Iterable[Answer]) -> dict[str, float]:
    """Count right answers, and pairs with both right, per subtask.

    Args:
        answers: About one image, parsed. Two of a subtask that follow one another by id are a
            pair, as lines are in the official files; one whose partner failed is in no pair.
    """
    subtasks: dict[str, list[Answer]] = {}
    for answer in sorted(answers, key=lambda answer: answer.id):
        subtasks.setdefault(answer.group, []).append(answer)
    counts: Counter[str] = Counter()
    for subtask, asked in subtasks.items():
        right = [answer.prediction == answer.target for answer in asked]
        pairs = list(zip(right[::2], right[1::2], strict=False))
        counts[f"{subtask}/n"] = len(right)
        counts[f"{subtask}/correct"] = sum(right)
        counts[f"{subtask}/pairs"] = len(pairs)
        counts[f"{subtask}/both"] = sum(first and second for first, second in pairs)
    return {name: float(count) for name, count in counts.items()}


def scores(totals: Mapping[str, Array], subtasks: Sequence[str]) -> dict[str, Array]:
    """Give accuracy, accuracy_plus and score (of 200) per subtask, and the scores' total."""
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
