"""Runs that answer in turns."""

from __future__ import annotations

from collections.abc import Iterator

from halluc.decoding import in_lockstep
from halluc.types import Answer


def batches(name: str, *sizes: int) -> Iterator[list[Answer]]:
    for number, size in enumerate(sizes):
        yield [Answer(f"{name}{number}/{i}", "image", "all", "", None) for i in range(size)]


def turns(**sizes: tuple[int, ...]) -> list[str]:
    streams = {name: batches(name, *own) for name, own in sizes.items()}
    given = in_lockstep(streams, {name: sum(own) for name, own in sizes.items()})
    return [batch[0].id.partition("/")[0] for _, batch in given]


def test_batch_by_batch() -> None:
    assert turns(a=(3, 2), b=(3, 2)) == ["a0", "b0", "a1", "b1"]


def test_a_run_that_lags_catches_up_first() -> None:
    assert turns(a=(2,), b=(3, 2), c=()) == ["b0", "a0", "b1"]


def test_a_batch_that_was_halved_holds_nobody_up() -> None:
    assert turns(a=(4, 2), b=(2, 2, 2)) == ["a0", "b0", "b1", "a1", "b2"]
