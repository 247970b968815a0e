"""CHAIR: the objects that a caption names, and those of them that are not in the image.

Rohrbach et al., "Object Hallucination in Image Captioning", EMNLP 2018 (arXiv 1809.02156),
repository LisaAnne/Hallucination, utils/chair.py; recall, precision and F1 as its successors
(Maxlinn/CHAIR-metric-standalone, LALBJ/PAI) count them.

Published versions differ only in how a caption becomes singular words. That step is a function
passed in; an `ObjectFinder` applies the same one to captions and to the ground truth's human
captions, so the two sides cannot come from different versions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.scoring.confusion_rates import ratio

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Words = Callable[[str], list[str]]


@dataclass(frozen=True)
class Tables:
    """The vocabulary.

    Attributes:
        nodes: A singular word or pair of words to the object it stands for.
        double_words: "first second" to what replaces the two.
    """

    nodes: Mapping[str, str]
    double_words: Mapping[str, str]


@dataclass(frozen=True)
class Mention:
    """An object named in a caption.

    Attributes:
        word: As it stands in the merged words.
        node: The object.
        index: Its position in the words before merging, according to the published code, which is
            off after a "toilet seat" rule has removed a word.
    """

    word: str
    node: str
    index: int


@dataclass(frozen=True)
class NamedObjects:
    """A caption as CHAIR reads it: the number of words after merging pairs, and the mentions."""

    n_words: int
    mentions: tuple[Mention, ...]

    @property
    def nodes(self) -> list[str]:
        """The named objects, in order, with repetition."""
        return [mention.node for mention in self.mentions]


@dataclass(frozen=True)
class ObjectFinder:
    """A finder of objects, in captions and in ground truth alike.

    Args:
        tables: The vocabulary.
        words: Caption to singular words; this is what differs between families.
    """

    tables: Tables
    words: Words

    def find(self, caption: str) -> NamedObjects:
        """Find the objects a caption names."""
        words, starts = self._merge(self.words(caption))
        n_words = len(words)
        if "toilet" in words and "seat" in words:  # "the seat of the toilet" is not a chair
            words = [word for word in words if word != "seat"]
        nodes = self.tables.nodes
        mentions = (
            Mention(word, nodes[word], starts[position])
            for position, word in enumerate(words)
            if word in nodes
        )
        return NamedObjects(n_words, tuple(mentions))

    def truth(self, categories: Iterable[str], captions: Iterable[str]) -> set[str]:
        """Return the objects of an image: annotated ones, and those that human captions name.

        Args:
            categories: The COCO categories of all instances, crowds included.
            captions: The human captions.
        """
        annotated = {self.tables.nodes.get(category, category) for category in categories}
        return annotated.union(*(self.find(caption).nodes for caption in captions))

    def _merge(self, words: list[str]) -> tuple[list[str], list[int]]:
        """Replace known pairs, left to right; also return the start of each word."""
        merged: list[str] = []
        starts: list[int] = []
        position = 0
        while position < len(words):
            pair = self.tables.double_words.get(" ".join(words[position : position + 2]))
            starts.append(position)
            merged.append(words[position] if pair is None else pair)
            position += 1 if pair is None else 2
        return merged, starts


def tally(named: NamedObjects, truth: set[str]) -> dict[str, float]:
    """Count a caption: mentions with repetition for CHAIR, distinct objects for the others."""
    nodes = named.nodes
    wrong = sum(node not in truth for node in nodes)
    return {
        "captions": 1,
        "hallucinating": float(wrong > 0),
        "mentions": len(nodes),
        "hallucinated": wrong,
        "truth": len(truth),
        "named": len(set(nodes)),
        "found": len(set(nodes) & truth),
        "words": named.n_words,
    }


def metrics(totals: Mapping[str, Array]) -> dict[str, Array]:
    """Turn summed counts into CHAIR's metrics, elementwise.

    Returns:
        chair_s (captions that hallucinate; captions without objects are in the denominator),
        chair_i (of all mentions), recall and precision (of distinct objects per image), f1,
        length (words a caption) and objects (mentions a caption).
    """
    captions, found = totals["captions"], totals["found"]
    return {
        "chair_s": ratio(totals["hallucinating"], captions),
        "chair_i": ratio(totals["hallucinated"], totals["mentions"]),
        "recall": ratio(found, totals["truth"]),
        "precision": ratio(found, totals["named"]),
        "f1": ratio(2 * found, totals["truth"] + totals["named"]),
        "length": ratio(totals["words"], captions),
        "objects": ratio(totals["mentions"], captions),
    }
