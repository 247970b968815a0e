"""Cost of a generated token: with each method, and with each kind of cache."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any

import torch

from bench.geometry import Pull, questions
from bench.timing import GREEDY, now, prepared, seconds, spread
from halluc.config import DecodingConfig
from halluc.decoding import answer_samples
from halluc.decoding.batch_encoding import batch_of
from halluc.decoding.kv_cache import growing_cache
from halluc.interventions import REGISTRY, Method
from halluc.memory import peak_memory, reset_peak_memory
from halluc.models import VisionLanguageModel
from halluc.types import Sample

_QUICK: dict[str, dict[str, Any]] = {
    "adhh": {"heads": {1: [0]}},
    "nullu": {"demos": 4},
    "vti": {"demos": 4},
}
"""Spares minutes of measuring heads and directions; what a token costs does not depend on it."""


def methods(model: VisionLanguageModel, rounds: int) -> Iterator[str]:
    """Time each method against the baseline: up to the second token, a step, memory."""
    yield "\n## Methods against the baseline, batch 4 (searches: 1), 32 tokens\n"
    yield "| method | up to the first token | a generated token | peak memory |\n|---|---|---|---|"
    samples = questions(4, 1, most=33)
    names = [name for name in REGISTRY.names() if name != "baseline"]
    greedy = prepared("baseline", model)
    ready = (prepared(name, model, **_QUICK.get(name, {})) for name in names)
    for method in (*ready, Pull(Pull.Params())):
        asked = samples[:1] if "search" in method.declared() else samples
        timed(model, method, samples[:1])
        pairs = [(timed(model, greedy, asked), timed(model, method, asked)) for _ in range(rounds)]
        columns = zip(*(zip(one, other, strict=True) for one, other in pairs), strict=True)
        reading, writing, memory = ([b / a for a, b in column] for column in columns)
        yield (f"| {method.name} | {spread(reading)} | {spread(writing)} | {median(memory):.2f} |")


def searches(model: VisionLanguageModel, rounds: int) -> Iterator[str]:
    """Time beams that share their prompt, and OPERA, against beams with copies of it."""
    yield "\n## Beams and OPERA, one prompt, 32 tokens\n"
    yield "| | an answer, s | against beams with copies | against beams | equal tokens |"
    yield "|---|---|---|---|---|"
    sample = questions(1, 1, most=33)
    baseline, five = prepared("baseline", model), DecodingConfig(num_beams=5)
    opera = prepared("opera", model)  # its default: five beams
    cases: dict[str, tuple[Method, DecodingConfig, bool]] = {
        "5 beams, each with its copy of the prompt": (baseline, five, False),
        "5 beams behind one prompt (ours)": (baseline, five, True),
        "opera": (opera, GREEDY, True),
        "opera, each row with its copy": (opera, GREEDY, False),
        "opera, fast": (prepared("opera", model, variant="fast"), GREEDY, True),
    }
    said: dict[str, str] = {}

    def answer(name: str) -> None:
        method, decoding, share = cases[name]
        (said[name],) = (
            a.text for a in answer_samples(model, method, sample, decoding, share=share)
        )

    found = [{name: seconds(partial(answer, name)) for name in cases} for _ in range(rounds + 1)]
    copied, behind, searched, *_ = cases
    pairs = {behind: copied, "opera, each row with its copy": searched}
    for name in cases:
        taken, *ratios = (
            [one[name] / one[other] if other else one[name] for one in found[1:]]
            for other in (None, copied, behind)
        )
        equal = str(said[name] == said[pairs[name]]).lower() if name in pairs else ""
        yield (f"| {name} | {median(taken):.2f} | {' | '.join(map(spread, ratios))} | {equal} |")


def timed(
    model: VisionLanguageModel, method: Method, samples: Sequence[Sample]
) -> tuple[float, float, int]:
    """Measure seconds up to the second token, of a later step (the median), and peak memory."""
    gc.collect()
    reset_peak_memory()
    started = now()
    with steps(model) as found:
        for _ in answer_samples(model, method, samples, GREEDY, share=False):
            pass
    return found[0] - started, median(b - a for a, b in pairwise(found)), peak_memory()


def caches(model: VisionLanguageModel, rounds: int) -> Iterator[str]:
    """Time kinds of cache, and compiling: a step of decoding by transformers' own `generate`."""
    yield "\n## Caches and compiling, batch 4, 32 tokens, plain `generate`\n"
    yield "| cache | a generated token, ms | against dynamic | first answer, s |\n|---|---|---|---|"
    inputs = dict(batch_of(model, prepared("baseline", model), questions(4, 1)).inputs)
    kinds: dict[str, Callable[[], dict[str, Any]]] = {
        "dynamic (transformers' default)": dict,
        "static": lambda: {"cache_implementation": "static"},
        "growing in place (ours)": lambda: {"past_key_values": growing_cache(model, 33)},
    }
    first = {name: _step(model, inputs, kind())[0] for name, kind in kinds.items()}
    found = [
        {name: _step(model, inputs, kind())[1] for name, kind in kinds.items()}
        for _ in range(rounds)
    ]
    plain = next(iter(kinds))
    for name in kinds:
        ratios = [one[name] / one[plain] for one in found]
        taken = 1000 * median(one[name] for one in found)
        yield f"| {name} | {taken:.1f} | {spread(ratios)} | {first[name]:.1f} |"
    own = model.model.forward
    model.model.forward = torch.compile(own)
    try:
        compiled = [_step(model, inputs, kinds["static"]()) for _ in range(4)]
    finally:
        model.model.forward = own
    taken = median(step for _, step in compiled[1:])
    against = taken / median(one[plain] for one in found)
    yield f"| static, compiled | {1000 * taken:.1f} | {against:.2f} | {compiled[0][0]:.1f} |"


def _step(
    model: VisionLanguageModel, inputs: dict[str, Any], how: dict[str, Any]
) -> tuple[float, float]:
    """Measure seconds of a whole answer, and of a step."""
    started = now()
    with steps(model) as found, torch.inference_mode():
        model.model.generate(**inputs, do_sample=False, max_new_tokens=33, **how)
    return now() - started, median(b - a for a, b in pairwise(found))


@contextmanager
def steps(model: VisionLanguageModel) -> Iterator[list[float]]:
    """Record when each pass over a single token begins."""
    found: list[float] = []

    def look(_: object, args: object, kwargs: dict[str, Any]) -> None:
        if kwargs["input_ids"] is not None and kwargs["input_ids"].shape[1] == 1:
            found.append(now())

    handle = model.model.register_forward_pre_hook(look, with_kwargs=True)
    try:
        yield found
    finally:
        handle.remove()
