"""Batches of samples: prompts about one image together, long answers with long ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from halluc.types import Answer, Sample

if TYPE_CHECKING:
    from PIL.Image import Image


def batches(samples: Sequence[Sample], size: int, by_image: bool = True) -> Iterator[list[Sample]]:
    """Yield samples in batches of at most `size`, all with one limit of new tokens.

    Groups are taken in the order of how long their answers may be, then of their longest prompt,
    then by name: the same samples make the same batches, in whatever order they come.

    Args:
        by_image: Keep samples about one image together, if they fit.
    """
    groups: dict[tuple[int, str], list[Sample]] = {}
    for sample in sorted(samples, key=lambda sample: sample.id):
        image = sample.image_id if by_image else ""
        groups.setdefault((sample.max_new_tokens, image), []).append(sample)
    ordered = sorted(
        groups.values(), key=lambda g: (g[0].max_new_tokens, _longest(g), g[0].image_id, g[0].id)
    )
    batch: list[Sample] = []
    for group in (part for whole in ordered for part in _parts(whole, size)):
        mixed = batch and batch[0].max_new_tokens != group[0].max_new_tokens
        if mixed or len(batch) + len(group) > size:
            yield batch
            batch = []
        batch = batch + group
    if batch:
        yield batch


def planned(
    samples: Sequence[Sample], known: Iterable[Answer], size: int, by_image: bool = True
) -> Iterator[list[Sample]]:
    """Yield samples in the batches they would be in if nothing were known yet.

    What a batch holds can change the last digits of a probability, so a run that was interrupted
    goes on with the batches it would have had.

    Args:
        known: Answers that are there already; they take their place in batches and are left out.
        size, by_image: As for `batches`.
    """
    there = {a.id: _placeholder(a) for a in known if a.same_as is None}
    for batch in batches([*samples, *there.values()], size, by_image):
        if left := [sample for sample in batch if sample.id not in there]:
            yield left


def _placeholder(answer: Answer) -> Sample:
    def no_image() -> Image:
        raise AssertionError(f"{answer.id} is answered already")

    return Sample(
        id=answer.id,
        image_id=answer.image_id,
        prompt=answer.prompt,
        load_image=no_image,
        max_new_tokens=answer.max_new_tokens,
        history=answer.history,
    )


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
        known = first.setdefault(question(sample), sample)
        if known is not sample:
            others.setdefault(known.id, []).append(sample)
    return Distinct(list(first.values()), others)


def question(asked: Sample | Answer) -> tuple[object, ...]:
    """Return what two samples must share to be the same question."""
    return asked.image_id, asked.history, asked.prompt, asked.max_new_tokens


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
