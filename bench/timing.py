"""How things are timed: in turns, as ratios within one run."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch

from halluc.config import DecodingConfig
from halluc.decoding import answer_samples
from halluc.interventions import REGISTRY, Method
from halluc.models import VisionLanguageModel
from halluc.types import Answer, Sample

GREEDY = DecodingConfig()


def ours(
    model: VisionLanguageModel,
    samples: Sequence[Sample],
    batch_size: int | None = None,
    share: bool = True,
) -> list[Answer]:
    """The harness's own greedy answers, in the order of the samples."""
    found = answer_samples(model, prepared("baseline", model), samples, GREEDY, batch_size, share)
    by_id = {answer.id: answer for answer in found}
    return [by_id[sample.id] for sample in samples]


def prepared(name: str, model: VisionLanguageModel) -> Method:
    """A method with its defaults."""
    cls = REGISTRY.get(name)
    return cls(cls.resolve(cls.Params(), model))


def seconds(what: Callable[[], object]) -> float:
    """Wall-clock seconds, the device's work included."""
    gc.collect()
    started = now()
    what()
    return now() - started


def now() -> float:
    """Seconds on a clock that waits for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def spread(ratios: Sequence[float]) -> str:
    """Median, least and largest."""
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
