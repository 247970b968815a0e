"""A vocabulary of one's own for CHAIR: the names of objects, singular and plural.

CHAIR's published tables know COCO's 80 categories. Here the names that the annotations use are the
vocabulary, and words of a caption are one of them if they are it, or its plural.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.scoring.chair.metric import Mention, NamedObjects, ObjectFinder, Tables
from halluc.scoring.text.pattern_singular import singularize

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, without what stands between them."""
    return re.findall(r"[^\W_]+(?:['-][^\W_]+)*", text.lower())


def forms(words: Sequence[str]) -> list[str]:
    """Return the names that some words may be: themselves, then with the last one singular.

    The rules of pattern 3.6 know "people" and "knives" but make "lenses" "lense", so a last s and a
    last es are also left out; a form is a name only if annotations use it.
    """
    *before, last = words
    singular = [last, singularize(last)]
    singular += [last.removesuffix(end) for end in ("s", "es") if len(last) > len(end) + 2]
    return list(dict.fromkeys(" ".join([*before, word]) for word in singular))


@dataclass(frozen=True)
class OwnFinder(ObjectFinder):
    """A finder of objects by their names; of names that overlap the longest is found.

    Args:
        longest: The most words of a name.
    """

    longest: int = 1

    def find(self, caption: str) -> NamedObjects:
        """Find the objects a caption names; a name of several words counts as one word."""
        words, mentions = self.words(caption), list[Mention]()
        start = n_words = 0
        while start < len(words):
            lengths = range(min(self.longest, len(words) - start), 0, -1)
            named = ((n, self._name(words[start : start + n])) for n in lengths)
            length, node = next((found for found in named if found[1] is not None), (1, None))
            if node is not None:
                mentions.append(Mention(" ".join(words[start : start + length]), node, start))
            start, n_words = start + length, n_words + 1
        return NamedObjects(n_words, tuple(mentions))

    def truth(self, categories: Iterable[str], captions: Iterable[str]) -> set[str]:
        """Return the objects of an image: those listed, and those that its references name."""
        listed = {self._name(words) for name in categories if (words := words_of(name))}
        named = {node for caption in captions for node in self.find(caption).nodes}
        return {node for node in listed if node is not None} | named

    def _name(self, words: Sequence[str]) -> str | None:
        nodes = self.tables.nodes
        return next((nodes[form] for form in forms(words) if form in nodes), None)


def finder_of(names: Iterable[str]) -> OwnFinder:
    """Return a finder of these objects; "dog" and "Dogs" are one, called as the first of them.

    Args:
        names: Names of any number of words: "dog", "hot dog", "red traffic light".
    """
    nodes: dict[str, str] = {}
    longest = 1
    for words in filter(None, map(words_of, names)):
        both = forms(words)[:2]
        node = next((nodes[form] for form in both if form in nodes), both[0])
        nodes.update({form: nodes.get(form, node) for form in both})
        longest = max(longest, len(words))
    return OwnFinder(Tables(nodes, {}), words_of, longest)
