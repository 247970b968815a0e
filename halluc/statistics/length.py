"""Descriptions at equal length: a method must not win only by saying less.

Hallucinations come late in a description, so a shorter one has fewer of them whoever wrote it.
Therefore both descriptions of a sample are cut at the number of words of the shorter one, and
scored again. A method whose descriptions are the beginnings of the baseline's then has a difference
of exactly zero, and one that is better word by word keeps its lead.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from halluc.scoring.base import Benchmark
    from halluc.types import Answer


def same_length(
    benchmark: Benchmark, ours: Iterable[Answer], theirs: Iterable[Answer]
) -> tuple[list[Answer], list[Answer]]:
    """Cut every pair of descriptions at the words of the shorter one.

    Args:
        ours, theirs: Answers of two runs; only samples that both described are returned.
    """
    captions = {
        answer.id: (answer, text)
        for answer in theirs
        if (text := benchmark.caption(answer)) is not None
    }
    cut: tuple[list[Answer], list[Answer]] = ([], [])
    for answer in ours:
        text = benchmark.caption(answer)
        if text is None or answer.id not in captions:
            continue
        other, other_text = captions[answer.id]
        words = min(len(text.split()), len(other_text.split()))
        cut[0].append(replace(answer, text=first_words(text, words)))
        cut[1].append(replace(other, text=first_words(other_text, words)))
    return cut


def first_words(text: str, words: int) -> str:
    """Cut a text at the end of its word number `words`; blanks and lines within it stay."""
    ends = [word.end() for word in re.finditer(r"\S+", text)]
    return text[: ends[words - 1]] if words else ""
