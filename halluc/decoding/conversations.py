"""Conversations: a question is put once those before it are answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from halluc.types import Answer

if TYPE_CHECKING:
    from halluc.types import Sample


def in_turns(
    samples: Sequence[Sample],
    answered: Mapping[str, Answer],
    answer: Callable[[Sequence[Sample]], Iterator[list[Answer]]],
) -> Iterator[list[Answer]]:
    """Answer the first turns of all conversations, then the second ones, and so on.

    Samples of no conversation count as first turns; most benchmarks have no others. What follows a
    sample that failed cannot be asked, and fails too.

    Args:
        samples: Those to answer.
        answered: Earlier answers by sample id; a conversation goes on from them.
        answer: Answers samples whose history is complete, batch by batch.

    Raises:
        ValueError: If a sample follows one that is neither answered nor among the samples.
    """
    answered, waiting = dict(answered), list(samples)
    while waiting:
        turn = [s for s in waiting if s.follows is None or s.follows in answered]
        if not turn:
            raise ValueError(f"{waiting[0].id} follows {waiting[0].follows}, which is not asked")
        ids = {sample.id for sample in turn}
        waiting = [sample for sample in waiting if sample.id not in ids]
        for batch in _turn(turn, answered, answer):
            answered |= {reply.id: reply for reply in batch}
            yield batch


def _turn(
    samples: Sequence[Sample],
    answered: Mapping[str, Answer],
    answer: Callable[[Sequence[Sample]], Iterator[list[Answer]]],
) -> Iterator[list[Answer]]:
    askable: list[Sample] = []
    for sample in samples:
        before = answered[sample.follows] if sample.follows is not None else None
        if before is None:
            askable.append(sample)
        elif before.status == "failed":
            yield [Answer.failed(sample, f"follows {before.id}, which failed")]
        else:
            history = (*before.history, (before.prompt, before.text))
            askable.append(replace(sample, history=history))
    yield from answer(askable)
