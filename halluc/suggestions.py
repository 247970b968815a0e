"""What was probably meant by a name that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return "did you mean 'var'?", with all names that are the fewest edits away.

    An edit inserts, deletes or replaces a letter, or swaps two neighbours.

    Args:
        otherwise: What is returned where no name is close.
    """
    known = list(known)
    close = get_close_matches(name, known, n=max(1, len(known)), cutoff=0.5)
    if len(close) > 1:
        from nltk.metrics.distance import edit_distance

        edits = {one: edit_distance(name, one, transpositions=True) for one in close}
        close = [one for one in close if edits[one] == min(edits.values())]
    return f"did you mean {' or '.join(map(repr, sorted(close)))}?" if close else otherwise
