"""Seconds of a GPU that a method takes, from what is measured and what is assumed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from bench.plan.assumed import LENGTH, QUESTION, TEMPLATE, Asks, Assumed, Model

Sharing = Literal["nothing", "questions", "command"]
"""What is computed once: nothing; what questions about an image have in common; that and what
methods in one command have in common."""


@dataclass(frozen=True)
class Ratio:
    """What a method costs against the baseline.

    Attributes:
        depends: What its prefix depends on: "nothing" but the model, the "method", the "question".
        prefill: Time up to the first token, against the baseline's, nothing shared.
        step: Time of a generated token.
        source: Where the two were measured.
    """

    name: str
    depends: str
    prefill: float
    step: float
    source: str = ""


BASELINE = Ratio("baseline", "nothing", 1.0, 1.0)


def read_tokens(ratio: Ratio, model: Model, asks: Asks, sharing: Sharing, first: bool) -> float:
    """Count prompt tokens that a method reads, its extra work in tokens of the baseline.

    What a method does beyond the baseline is counted in full for every distinct question, though
    some of it is shared too.

    Args:
        first: Whether it is the one of its command that reads the prefixes all can use.
    """
    prefix = TEMPLATE + model.image
    if sharing == "nothing":
        return ratio.prefill * asks.questions * (prefix + QUESTION)
    whole = asks.distinct * (prefix + QUESTION)
    if ratio.depends == "question":
        return ratio.prefill * whole
    read_before = sharing == "command" and ratio.depends == "nothing" and not first
    shared = asks.distinct * QUESTION + (0 if read_before else asks.images * prefix)
    return shared * min(1.0, ratio.prefill) + max(0.0, ratio.prefill - 1) * whole


def written_tokens(asks: Asks, shared: bool, at_limit: bool = False) -> float:
    """Count generated tokens: of all questions, or of those that differ."""
    tokens = sum(
        n * (limit if at_limit else min(limit, LENGTH[task])) for task, n, limit in asks.parts
    )
    return tokens * (asks.distinct / asks.questions if shared else 1)


def prefill_seconds(tokens: float, model: Model, assumed: Assumed) -> float:
    """Seconds to read tokens: two operations a parameter and token."""
    return 2 * model.params * tokens / (1000 * assumed.gpu.tflops * assumed.utilisation)


def step_seconds(model: Model, assumed: Assumed) -> float:
    """Seconds of a step of a batch: weights and caches are read once, or the least it takes."""
    context = TEMPLATE + model.image + QUESTION
    weights, caches = 2e9 * model.params, assumed.batch * context * model.cached
    speed = 1e12 * assumed.gpu.bandwidth * assumed.bandwidth_share
    return max(assumed.step, (weights + caches) / speed)


def seconds(
    ratio: Ratio,
    model: Model,
    asks: Asks,
    assumed: Assumed,
    sharing: Sharing = "nothing",
    first: bool = True,
    at_limit: bool = False,
) -> float:
    """Seconds of one method on one model and benchmark; loading the model is not in it."""
    reading = prefill_seconds(read_tokens(ratio, model, asks, sharing, first), model, assumed)
    tokens = written_tokens(asks, sharing != "nothing", at_limit)
    return reading + ratio.step * tokens * step_seconds(model, assumed) / assumed.batch


def imbalance(images: int, gpus: int) -> float:
    """Return how much longer the fullest shard takes than the average one, by images."""
    return math.ceil(images / gpus) * gpus / images
