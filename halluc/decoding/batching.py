"""Batches of samples: prompts about one image together, long answers with long ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import ceil
from typing import NamedTuple

from halluc.types import Answer, Sample


def batches(samples: Sequence[Sample], size: int, by_image: bool = True) -> Iterator[list[Sample]]:
    """Yield samples in batches of at most `size`, all with one limit of new tokens.

    Groups are taken in the order of how long their answers may be, then of their longest prompt.

    Args:
        by_image: Keep samples about one image together, if they fit.
    """
    groups: dict[tuple[int, str], list[Sample]] = {}
    for sample in samples:
        image = sample.image_id if by_image else ""
        groups.setdefault((sample.max_new_tokens, image), []).append(sample)
    ordered = sorted(groups.values(), key=lambda g: (g[0].max_new_tokens, _longest(g)))
    batch: list[Sample] = []
    for group in (part for whole in ordered for part in _parts(whole, size)):
        mixed = batch and batch[0].max_new_tokens != group[0].max_new_tokens
        if mixed or len(batch) + len(group) > size:
            yield batch
            batch = []
        batch = batch + group
    if batch:
        yield batch


class Distinct(NamedTuple):
    """Samples without their repetitions.

    Attributes:
        first: The first sample of each question about an image.
        others: Those that repeat it, by its id.
    """

    first: list[Sample]
    others: dict[str, list[Sample]]


def distinct(samples: Iterable[Sample]) -> Distinct:
    """Separate samples from those that repeat them: the same question about the same image.

    In a conversation a question counts as a different one after different turns.
    """
    first: dict[tuple[object, ...], Sample] = {}
    others: dict[str, list[Sample]] = {}
    for sample in samples:
        question = (sample.image_id, sample.history, sample.prompt, sample.max_new_tokens)
        known = first.setdefault(question, sample)
        if known is not sample:
            others.setdefault(known.id, []).append(sample)
    return Distinct(list(first.values()), others)


def repeated(answer: Answer, sample: Sample) -> Answer:
    """Copy an answer for another sample that asks the same; the copy cost nothing."""
    return replace(
        answer,
        id=sample.id,
        group=sample.group,
        target=sample.target,
        same_as=answer.id,
        forward_passes=0,
        images_encoded=0,
        seconds=0.0,
    )


def _longest(group: list[Sample]) -> int:
    return max(len(sample.prompt) for sample in group)


def _parts(group: list[Sample], size: int) -> list[list[Sample]]:
    """Split a group that is too large into as few parts as possible, of nearly one size."""
    step = ceil(len(group) / ceil(len(group) / size))
    return [group[i : i + step] for i in range(0, len(group), step)]
