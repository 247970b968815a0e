"""HallusionBench's scorer: by question, question pair and figure, and the causes of errors.

Guan et al., "HallusionBench", CVPR 2024 (arXiv 2310.14566), repository tianyi-lab/HallusionBench
(BSD-3), utils.py and evaluation.py at 744007c.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.scoring.confusion_rates import ratio
from halluc.scoring.yes_no import parse_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

WRONG, RIGHT, UNCLEAR = 0, 1, 2
"""A judge's verdicts on an answer."""


@dataclass(frozen=True)
class Judged:
    """A question, its position in the benchmark, and the verdict on its answer.

    Attributes:
        set: Category, subcategory and set id: the unit that is resampled.
        category: "VD" or "VS".
        figure: Figure id; "0" is the original figure, or none in category VS.
        question: Question id within the set.
        visual: "0" without a figure, "1" with the original, "2" with an edited one.
        truth: "1" for yes, "0" for no.
        verdict: `WRONG`, `RIGHT` or `UNCLEAR`.
        same: The answer agrees with that to the same question about figure 0.
    """

    set: str
    category: str
    figure: str
    question: str
    visual: str
    truth: str
    verdict: int
    same: bool = False

    @property
    def correct(self) -> bool:
        """True if the answer counts as correct; without a figure, not knowing is correct too."""
        if self.category == "VS" and self.figure == "0":
            return self.verdict != WRONG
        return self.verdict == RIGHT


CORRECT = (
    "You are a teacher. Read the question, the reference answer and the prediction. Reply with one "
    'word: "correct" if the prediction does not conflict with the reference, "incorrect" if it '
    'does, "unclear" if it does not say.\n\nQuestion: {question}\nReference answer: '
    "{gt_answer_details}\nPrediction: {answer}\nReply:"
)
SAME = (
    "You are a teacher. Two responses to two questions you do not see follow. Reply with one word: "
    '"same" if the responses do not conflict, "different" if they do.\n\nResponse 1: {first}\n'
    "Response 2: {second}\nReply:"
)


def said(text: str) -> str | None:
    """Read an answer by rule: exactly one of the words yes and no, or the authors' 1 and 0."""
    return {"1": "yes", "0": "no"}.get(text.strip(), parse_words(text))


def read(text: str, truth: str) -> int:
    """Judge an answer by rule instead of by a model.

    Args:
        truth: "1" for yes or "0" for no.
    """
    answer = said(text)
    if answer is None:
        return UNCLEAR
    return RIGHT if answer == ("yes" if truth == "1" else "no") else WRONG


def verdict(reply: str) -> int | None:
    """Read a judge's reply as the authors do; None, which they count as unclear, if unreadable."""
    words = {"incorrect": WRONG, "correct": RIGHT, "unclear": UNCLEAR}
    return next((code for word, code in words.items() if word in reply.lower()), None)


def tally(judged: Sequence[Judged]) -> dict[str, float]:
    """Count the questions of one set."""
    counts: Counter[str] = Counter()
    for name, group in _groups(judged).items():
        kind = name[0]
        right = [question.correct for question in group]
        counts[kind] += 1
        counts[f"{kind} right"] += all(right)
        counts[f"{kind} wrong"] += not any(right)
    first = {question.question: question for question in judged if question.figure == "0"}
    for question in judged:
        counts["questions"] += 1
        counts["correct"] += question.correct
        counts["yes"] += question.truth == "1"
        counts["said yes"] += question.correct == (question.truth == "1")
        counts["errors"] += not question.correct
        counts["errors on no"] += not question.correct and question.truth == "0"
        cause = diagnose(question, first.get(question.question, question))
        counts[cause or "none"] += 1
    return {name: float(count) for name, count in counts.items()}


def _groups(judged: Sequence[Judged]) -> dict[tuple[str, str], list[Judged]]:
    groups: dict[tuple[str, str], list[Judged]] = {}
    for question in judged:
        pair = "hard" if question.visual == "2" else "easy"
        keys = [("pair", question.question), (pair, question.question)]
        if not (question.category == "VS" and question.figure == "0"):
            keys.append(("figure", question.figure))
        for key in keys:
            groups.setdefault(key, []).append(question)
    return groups


def diagnose(question: Judged, first: Judged) -> str | None:
    """Name what an answer suffers from: language (LH), vision (VI), both (Mixed), or nothing.

    Args:
        first: The same question about figure 0.
    """
    verdict = question.verdict
    if verdict == RIGHT or (verdict == UNCLEAR and question.category == "VS" and question is first):
        return None
    if question.category == "VD":
        mixed = question is not first and first.verdict == RIGHT and verdict == WRONG
        return "Mixed" if mixed and question.same else "VI"
    if question is first:
        return "LH"
    if first.verdict == WRONG:
        return "LH" if verdict == WRONG and question.same else "Mixed"
    edited = first.verdict == RIGHT and verdict == WRONG and question.visual == "2"
    return "LH" if edited and question.same else "VI"


def metrics(totals: Mapping[str, Array]) -> dict[str, Array]:
    """Turn summed counts into the leaderboard's columns, under their printed names."""
    causes = totals["LH"] + totals["VI"] + totals["Mixed"]
    figures = totals["figure"]
    right, wrong = totals["figure right"], totals["figure wrong"]
    return {
        "qAcc": 100 * ratio(totals["pair right"], totals["pair"]),
        "fAcc": 100 * ratio(right, figures),
        "easy aAcc": 100 * ratio(totals["easy right"], totals["easy"]),
        "hard aAcc": 100 * ratio(totals["hard right"], totals["hard"]),
        "aAcc": 100 * ratio(totals["correct"], totals["questions"]),
        "Yes/No Bias (Pct Diff)": ratio(totals["said yes"] - totals["yes"], totals["questions"]),
        "Yes/No Bias (FP Ratio)": ratio(totals["errors on no"], totals["errors"]),
        "Consistency Test (correct)": 100 * ratio(right, figures),
        "Consistency Test (inconsistent)": 100 * ratio(figures - right - wrong, figures),
        "Consistency Test (wrong)": 100 * ratio(wrong, figures),
        "LH": 100 * ratio(totals["LH"], causes),
        "VI": 100 * ratio(totals["VI"], causes),
        "Mixed": 100 * ratio(totals["Mixed"], causes),
    }
