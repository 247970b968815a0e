"""Tools for timing: in turns, as ratios within one run."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

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
    """Return the harness's own greedy answers, in the order of the samples."""
    baseline = prepared("baseline", model)
    answers = answer_samples(model, baseline, samples, GREEDY, batch_size, share)
    by_id = {answer.id: answer for answer in answers}
    return [by_id[sample.id] for sample in samples]


def prepared(name: str, model: VisionLanguageModel, **params: Any) -> Method:
    """Prepare a method; parameters that are not given take their defaults."""
    return REGISTRY.get(name).for_model(model, params)


def seconds(what: Callable[[], object]) -> float:
    """Measure wall-clock seconds, the device's work included."""
    gc.collect()
    started = now()
    what()
    return now() - started


def now() -> float:
    """Read a clock in seconds, after waiting for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def spread(ratios: Sequence[float]) -> str:
    """Write the median with the least and the largest."""
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
