"""Every method says the same in batches that share what they read as alone, one prompt at a time.

Where float32 cannot tell the two likeliest tokens apart, either is accepted if it is what float64
says; such ties are counted and listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import LogitsProcessor

from halluc.config import DecodingConfig
from halluc.decoding.batch_encoding import batch_of
from halluc.decoding.generation import generate
from halluc.errors import UserError
from halluc.interventions import REGISTRY, Method
from halluc.models import VisionLanguageModel
from halluc.models.load import load_model
from halluc.scoring.base import REGISTRY as BENCHMARKS
from halluc.types import Sample
from tests.kit.asking import BATCHED, able_to_ask
from tests.kit.families import build, picture

TIE = 1e-3
FAST = ("llava", "qwen2_5_vl")
SLOW = ("glyph", "llava_next", "internvl", "paligemma", "gemma3")
QUESTIONS = ("is there a dog ?", "please describe this image", "how many red dogs are there ?")


class Margins(LogitsProcessor):
    """How far the likeliest token is ahead of the next, step by step [B]."""

    def __init__(self) -> None:
        self.steps: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        best = scores.topk(2).values
        self.steps.append(best[:, 0] - best[:, 1])
        return scores


def model_of(name: str, dtype: str = "float32") -> VisionLanguageModel:
    if name == "glyph":
        return load_model("glyph", dtype=dtype, device="cpu")
    model = build(name)
    return model if dtype == "float32" else replace(model, model=model.model.to(torch.float64))


def samples_of(name: str) -> Iterator[Sample]:
    """A batch of questions about two images; for glyph, POPE's and a caption."""
    if name == "glyph":
        yield from BENCHMARKS.get("glyph_pope")().asked(2)
        yield from BENCHMARKS.get("glyph_chair")().asked(2)
        return
    for image in (0, 1):
        for number, question in enumerate(QUESTIONS):
            load = [picture(0, 32, 32), picture(1, 48, 32)][image].copy
            yield Sample(f"{image}-{number}", f"image-{image}", question, load, max_new_tokens=6)


def said(
    model: VisionLanguageModel, prepared: Method, samples: Sequence[Sample], share: bool
) -> list[tuple[list[int], list[float]]]:
    """Tokens up to the end token, and their margins."""
    margins = Margins()
    made = generate(
        model,
        prepared,
        able_to_ask(model, batch_of(model, prepared, samples)),
        DecodingConfig(),
        max_new_tokens=max(sample.max_new_tokens for sample in samples),
        watch=[margins],
        share=share,
    )
    steps = torch.stack(margins.steps, 1)[: len(samples)]  # of the main stream
    found = []
    for row, ahead in zip(made.tokens.tolist(), steps.tolist(), strict=True):
        end = next((i + 1 for i, token in enumerate(row) if token in model.end_tokens), len(row))
        found.append((row[:end], ahead[:end]))
    return found


@pytest.mark.parametrize("method", BATCHED)
@pytest.mark.parametrize(
    "name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_same_tokens(
    name: str, method: str, record_property: Callable[[str, object], None]
) -> None:
    model, samples = model_of(name), list(samples_of(name))
    try:
        prepared = REGISTRY.get(method).for_model(model)
    except UserError as refused:
        pytest.skip(str(refused))
    together = [
        one
        for most in sorted({sample.max_new_tokens for sample in samples})
        for one in said(model, prepared, [s for s in samples if s.max_new_tokens == most], True)
    ]
    samples.sort(key=lambda sample: sample.max_new_tokens)
    ties = []
    for sample, (ours, _) in zip(samples, together, strict=True):
        ((alone, margins),) = said(model, prepared, [sample], False)
        if ours == alone:
            continue
        step = next(i for i, (a, b) in enumerate(zip(ours, alone, strict=False)) if a != b)
        assert margins[step] < TIE, f"{sample.id}: {ours} together, {alone} alone"
        exact = model_of(name, "float64")
        ((truth, _),) = said(exact, REGISTRY.get(method).for_model(exact), [sample], False)
        assert truth in (ours, alone)
        ties.append((sample.id, margins[step], "shared" if truth == ours else "alone"))
    record_property("ties", str(ties))
    assert len(ties) <= 1, ties
