"""Which samples make a batch: prompts about one image together, long answers with long ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import ceil

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


def distinct(samples: Iterable[Sample]) -> tuple[list[Sample], dict[str, list[Sample]]]:
    """The first of all samples that ask the same of the same image, and the others by its id.

    In a conversation the same question is another one after other turns.
    """
    first: dict[tuple[object, ...], Sample] = {}
    others: dict[str, list[Sample]] = {}
    for sample in samples:
        asked = (sample.image_id, sample.history, sample.prompt, sample.max_new_tokens)
        known = first.setdefault(asked, sample)
        if known is not sample:
            others.setdefault(known.id, []).append(sample)
    return list(first.values()), others


def repeated(answer: Answer, sample: Sample) -> Answer:
    """The answer to another sample that asks the same; it cost nothing more."""
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
    """A group that is too large, in as few parts of nearly one size as will do."""
    step = ceil(len(group) / ceil(len(group) / size))
    return [group[i : i + step] for i in range(0, len(group), step)]
