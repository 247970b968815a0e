"""AMBER's two scorers: objects described, and yes/no questions with "No" as the positive class.

Wang et al., "AMBER: An LLM-free Multi-dimensional Benchmark for MLLMs Hallucination Evaluation"
(arXiv 2311.07397), repository junyangwang0410/AMBER (Apache-2.0), inference.py at 534babf.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from halluc.errors import UserError
from halluc.scoring.confusion_rates import ratio
from halluc.scoring.text import nltk_words as english

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Alike = Callable[[str, str], bool]

DIMENSIONS = {
    "discriminative-hallucination": "existence",
    "discriminative-attribute-state": "state",
    "discriminative-attribute-number": "number",
    "discriminative-attribute-action": "action",
    "discriminative-relation": "relation",
    "relation": "relation",
}
"""A record's type to the dimension in which it is scored."""
ATTRIBUTES = ("state", "number", "action")
PARTS: Mapping[str, tuple[str, ...]] = {
    "all": ("existence", *ATTRIBUTES, "relation"),
    "existence": ("existence",),
    "attribute": ATTRIBUTES,
    "state": ("state",),
    "number": ("number",),
    "action": ("action",),
    "relation": ("relation",),
}
"""A reported part to the dimensions that it sums."""


def exact(noun: str, word: str) -> bool:
    """Count only equal words as alike, where spaCy's vectors are not installed."""
    return noun == word


def spacy_vectors(threshold: float = 0.8, model: str = "en_core_web_lg") -> Alike:
    """Count words as alike whose vectors are, as the authors do.

    Raises:
        UserError: If spaCy or the model is not installed.
    """
    try:
        import spacy

        document = cache(spacy.load(model))
    except (ImportError, OSError) as error:
        raise UserError(f"AMBER's similarity needs spaCy and {model}: {error}") from error
    return lambda noun, word: bool(document(noun).similarity(document(word)) > threshold)


@dataclass(frozen=True)
class Lexicon:
    """AMBER's vocabulary.

    Attributes:
        related: relation.json, a word to the words associated with it.
        safe: safe_words.txt, words that are never hallucinated.
    """

    related: Mapping[str, Sequence[str]]
    safe: frozenset[str]

    def nouns(self, response: str) -> list[str]:
        """Return the nouns of the vocabulary in a response, in order, with repetition."""
        known = set(self.related).union(*self.related.values())
        tagged = english.tag(english.tokenize(response))
        nouns = [english.lemmatize(word) for word, tag in tagged if tag.startswith("NN")]
        return [noun for noun in nouns if noun in known]

    def owners(self, objects: Sequence[str]) -> list[tuple[str, int]]:
        """Return words and the object each stands for: associated words first, then the objects.

        The first match counts, so an object that is also associated with an earlier one is
        credited to that one and stays uncovered itself, as in published scores.
        """
        related = [
            (word, n) for n, name in enumerate(objects) for word in self.related.get(name, ())
        ]
        return related + [(name, n) for n, name in enumerate(objects)]


def describe(
    nouns: Sequence[str],
    truth: Sequence[str],
    likely: Sequence[str],
    lexicon: Lexicon,
    alike: Alike = exact,
) -> dict[str, float]:
    """Count one description.

    Args:
        nouns: `Lexicon.nouns` of the response.
        truth: Objects in the image.
        likely: Objects a model is likely to hallucinate.
        alike: Says if a noun stands for a word that it does not equal.
    """
    present, tempting = lexicon.owners(truth), lexicon.owners(likely)
    covered: set[int] = set()
    marked: set[int] = set()
    hallucinated = 0
    for noun in nouns:
        if noun in lexicon.safe:
            continue
        if objects := _first(present, noun, exact):
            covered |= objects
        else:
            # a noun that is among the likely ones still goes through both similarity scans
            marked |= _first(tempting, noun, exact) | _first(tempting, noun, alike)
            objects = _first(present, noun, alike)
            hallucinated += not objects
            covered |= objects
    return {
        "nouns": len(nouns),
        "hallucinated": hallucinated,
        "truth": len(truth),
        "covered": len(covered),
        "likely": len(likely),
        "marked": len(marked),
        "responses": 1,
        "clean": float(hallucinated == 0),
    }


def _first(words: Sequence[tuple[str, int]], noun: str, alike: Alike) -> set[int]:
    """Return the object of the first word that the noun is alike, as a set of one or none."""
    return next(({n} for word, n in words if alike(noun, word)), set())


def generative(totals: Mapping[str, Array]) -> dict[str, Array]:
    """Return CHAIR, Cover, Hal and Cog in percent, from summed `describe` counts."""
    return {
        "CHAIR": 100 * ratio(totals["hallucinated"], totals["nouns"]),
        "Cover": 100 * ratio(totals["covered"], totals["truth"]),
        "Hal": 100 - 100 * ratio(totals["clean"], totals["responses"]),
        "Cog": 100 * ratio(totals["marked"], totals["likely"]),
    }


def discriminate(kind: str, truth: str, response: str) -> dict[str, float]:
    """Count one answer; only exactly "Yes" or "No" is an answer.

    Args:
        kind: The record's type.
        truth: "yes" or "no".

    Returns:
        n, correct, no (truth), said_no and right_no under "dimension/count".
    """
    said_no, is_no = response == "No", truth != "yes"
    counts = {
        "n": 1,
        "correct": said_no if is_no else response == "Yes",
        "no": is_no,
        "said_no": said_no,
        "right_no": said_no and is_no,
    }
    return {f"{DIMENSIONS[kind]}/{name}": float(count) for name, count in counts.items()}


def discriminative(totals: Mapping[str, Array]) -> dict[str, Array]:
    """Return Accuracy, Precision, Recall and F1 in percent as "part/metric", from summed counts."""
    values: dict[str, Array] = {}
    for part, dimensions in PARTS.items():
        n, correct, no, said_no, right = _sums(totals, dimensions)
        values[f"{part}/Accuracy"] = 100 * ratio(correct, n)
        values[f"{part}/Precision"] = 100 * ratio(right, said_no)
        values[f"{part}/Recall"] = 100 * ratio(right, no)
        values[f"{part}/F1"] = 100 * ratio(2 * right, said_no + no)
    return values


def _sums(totals: Mapping[str, Array], dimensions: Sequence[str]) -> list[Array]:
    import numpy as np

    names = ("n", "correct", "no", "said_no", "right_no")
    return [np.sum([totals[f"{dim}/{name}"] for dim in dimensions], axis=0) for name in names]


def as_printed(totals: Counter[str]) -> dict[str, dict[str, float]]:
    """Return what inference.py prints: denominators start at .001, F1 is of rounded rates.

    Args:
        totals: Summed counts of `describe` and `discriminate`.
    """
    printed: dict[str, dict[str, float]] = {}
    if totals["responses"]:
        parts = (
            ("CHAIR", "hallucinated", "nouns"),
            ("Cover", "covered", "truth"),
            ("Hal", "clean", "responses"),
            ("Cog", "marked", "likely"),
        )
        row = {name: _percent(totals[part], totals[whole]) for name, part, whole in parts}
        row["Hal"] = round(100 - totals["clean"] / (totals["responses"] + 0.001) * 100, 1)
        printed["generative"] = row
    for part, dimensions in PARTS.items():
        sums = {
            name: sum(totals[f"{dimension}/{name}"] for dimension in dimensions)
            for name in ("n", "correct", "no", "said_no", "right_no")
        }
        if not all(totals[f"{dimension}/n"] for dimension in dimensions):
            continue  # a task that was not answered, or a sum it would be part of
        starts = 1 if part == "all" else len(dimensions)
        precision = _percent(sums["right_no"], sums["said_no"], starts)
        recall = _percent(sums["right_no"], sums["no"], starts)
        guard = 0.001 if part == "existence" else 0.0001
        f1 = 2 * (precision / 100) * (recall / 100) / (precision / 100 + recall / 100 + guard)
        printed["discriminative" if part == "all" else part] = {
            "Accuracy": _percent(sums["correct"], sums["n"], starts),
            "Precision": precision,
            "Recall": recall,
            "F1": round(f1 * 100, 1),
        }
    return printed


def _percent(part: float, whole: float, starts: int = 1) -> float:
    return round(part / (whole + 0.001 * starts) * 100, 1)
