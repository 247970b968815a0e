"""Which of the kept answers to a benchmark are to a set of samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from halluc.store.scores_file import AskedSample
from halluc.types import Answer


def match_answers(kept: Iterable[Answer], samples: Sequence[AskedSample]) -> dict[str, Answer]:
    """Return by sample id the answers that are there, with what each is compared with.

    Of several answers to a sample the last one that did not fail counts, else the last. The answer
    to a later turn is to what was said before; what follows a sample that failed has failed.
    """
    known: dict[tuple[object, ...], Answer] = {}
    for answer in kept:
        to = (answer.id, answer.prompt, answer.history, answer.max_new_tokens)
        if to not in known or answer.status != "failed":
            known[to] = answer
    found: dict[str, Answer] = {}
    for sample in samples:
        history: tuple[tuple[str, str], ...] = ()
        if sample.follows is not None:
            if (before := found.get(sample.follows)) is None:
                continue
            if before.status == "failed":
                found[sample.id] = _failed(sample, f"follows {before.id}, which failed")
                continue
            history = (*before.history, (before.prompt, before.text))
        to = (sample.id, sample.prompt, history, sample.max_new_tokens)
        if to in known:
            now = {"target": sample.target, "group": sample.group, "image_id": sample.image_id}
            found[sample.id] = replace(known[to], **now)
    return found


def _failed(sample: AskedSample, error: str) -> Answer:
    return Answer(
        sample.id,
        sample.image_id,
        sample.group,
        sample.prompt,
        sample.target,
        max_new_tokens=sample.max_new_tokens,
        status="failed",
        error=error,
    )
