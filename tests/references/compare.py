"""Compare the engine with plain loops: tokens, and the logits of each step."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.config import DecodingConfig
from halluc.decoding import generation
from halluc.decoding.logits_processors import Forbid
from halluc.decoding.whole_batch import answer_together
from halluc.interventions import Batch, Method
from halluc.models import VisionLanguageModel
from halluc.testing import reply
from tests.kit.asking import prepared, questions
from tests.kit.families import build
from tests.kit.steps import Steps

TOKENS = 12
FAMILIES = pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
Reference = Callable[..., tuple[list[int], Tensor]]


@cache
def tiny(family: str, seed: int = 0) -> VisionLanguageModel:
    return build(family, seed)


def engine(
    model: VisionLanguageModel, method: Method, batch: Batch, patch: pytest.MonkeyPatch
) -> tuple[list[int], Tensor]:
    """Greedy tokens and logits [T, V], -inf where a token is ruled out."""
    steps = Steps()

    class Watched(Forbid):
        def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
            return steps(input_ids, super().__call__(input_ids, scores))

    patch.setattr(generation, "Forbid", Watched)
    if "next_token_logits" in method.declared():
        made = reply(model, method, batch, tokens=TOKENS)
    else:
        answered = answer_together(model, method, batch, DecodingConfig(), TOKENS, lambda: [steps])
        return answered.tokens[0].tolist(), torch.stack(steps.rows)
    return made.tokens[0].tolist(), torch.stack(steps.rows)


def by(reference: Reference) -> Reference:
    """A reference that takes the inputs as they are."""

    def run(model: VisionLanguageModel, batch: Batch, **params: Any) -> tuple[list[int], Tensor]:
        return reference(model.model, batch.inputs, n_tokens=TOKENS, **params)

    return run


def close(found: Tensor, expected: Tensor, name: str) -> None:
    """Hold the rows [T, V] to each other, what is ruled out too."""
    finite = expected.isfinite()
    assert torch.equal(found.isfinite(), finite)
    if name == "dola":  # up to a constant of each row, which no decoding sees
        found, expected = found.log_softmax(-1), expected.log_softmax(-1)
    difference = float((found - expected)[finite].abs().max())
    assert difference < 1e-4


def equal(
    model: VisionLanguageModel,
    name: str,
    reference: Reference,
    params: dict[str, Any],
    patch: pytest.MonkeyPatch,
    batch: Batch | None = None,
) -> None:
    """Hold a method's tokens and logits to a reference's, on one question."""
    batch = batch or questions(model, 0)
    expected, rows = reference(model, batch, **params)
    tokens, logits = engine(model, prepared(name, model, **params), batch, patch)
    assert tokens == expected
    close(logits, rows, name)
