"""Runs that answer the same samples in turns, so that one reads what the others need too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from halluc.types import Answer

K = TypeVar("K")


def in_lockstep(
    streams: Mapping[K, Iterator[list[Answer]]], left: Mapping[K, int]
) -> Iterator[tuple[K, list[Answer]]]:
    """Advance the runs that have most left by a batch each, and again, until all are done.

    A run that was interrupted a batch earlier than the others therefore catches up first, and
    from then on all stand at the same samples.

    Args:
        streams: Each run's batches (`answer_batches`, given one memo).
        left: How many answers each will give.

    Yields:
        A run and the batch it has just answered.
    """
    left = {run: n for run, n in left.items() if n}
    while left:
        most = max(left.values())
        for run in [run for run, n in left.items() if n == most]:
            batch = next(streams[run])
            yield run, batch
            left[run] -= len(batch)
            if not left[run]:
                del left[run]
