"""Which tokens VAR takes for sinks while it generates, and what a shared prefix depends on."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.interventions import At, BatchState
from halluc.interventions.engine import intervene
from halluc.methods import _sinks, var
from halluc.methods.var import VAR
from halluc.models import VisionLanguageModel
from tests.kit.asking import QUESTIONS
from tests.kit.families import llava, prompts

DIM = 7
SETTINGS: dict[str, Any] = {
    "sink_dims": (DIM,), "tau": 4.0, "rho": 1.0, "min_image_mass": 0.0, "keep": 0.25,
}  # fmt: skip


@cache
def model() -> VisionLanguageModel:
    """LLaVA in which every word, the padding too, is massive in one dimension."""
    made = llava()
    with torch.no_grad():
        made.model.get_input_embeddings().weight[:, DIM] = 40.0
    return made


def passes(monkeypatch: pytest.MonkeyPatch, **params: Any) -> list[tuple[At, Tensor, Tensor]]:
    """Each call's place, what was taken for a sink [B, K], and the factor on each weight."""
    found: list[tuple[At, Tensor, Tensor]] = []
    taken: list[Tensor] = []

    def redistribute(attention: Tensor, sinks: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        taken.append(sinks)
        return _sinks.redistribute(attention, sinks, *args, **kwargs)

    class Watched(VAR):
        def attention_weights(self, at: At, weights: Tensor) -> Tensor:
            out = super().attention_weights(at, weights)
            found.append((at, taken[-1], out / weights))
            return out

    monkeypatch.setattr(var, "redistribute", redistribute)
    inputs = prompts(model(), *QUESTIONS)
    method = Watched(VAR.Params(**SETTINGS | params))
    with (
        torch.inference_mode(),
        intervene(model(), method, BatchState.of_inputs(model(), inputs)),
    ):
        model().model.generate(**inputs, do_sample=False, max_new_tokens=4, min_new_tokens=4)
    return found


@pytest.mark.parametrize("rows", ["after_image", "all"])
def test_a_generated_token_never_becomes_a_sink(rows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [call for call in passes(monkeypatch, rows=rows) if not call[0].prefill]
    assert calls
    for at, sinks, factor in calls:
        length = at.tokens.input_ids.shape[1]
        assert sinks[:, :length].any() and not sinks[:, length:].any()
        generated = factor[:, :, :, length:]
        assert torch.allclose(generated, torch.ones(()), atol=1e-5)


def test_the_prompts_text_would_be_sinks_and_keeps_its_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at, sinks, factor = passes(monkeypatch, variant="paper")[-1]
    text = at.on_keys(at.tokens.attention_mask.bool() & ~at.tokens.image_mask)
    assert torch.equal(sinks, text)
    assert torch.allclose(factor[:, :, 0].transpose(1, 2)[text], torch.tensor(0.25), atol=1e-4)


def test_padding_never_becomes_a_sink(monkeypatch: pytest.MonkeyPatch) -> None:
    for at, sinks, _ in passes(monkeypatch):
        padding = at.on_keys(~at.tokens.attention_mask.bool())
        assert padding.any() and not (sinks & padding).any()


def key(**params: Any) -> Any:
    return VAR(VAR.Params(**SETTINGS | params)).prefix_key()


@pytest.mark.parametrize("change", [{"keep": 0.9}, {"rho": 0.1}, {"min_image_mass": 0.3}])
def test_image_rows_depend_on_how_much_is_moved_where_they_are_edited(
    change: dict[str, Any],
) -> None:
    assert key(rows="all") == key(rows="all")
    assert key(rows="all", **change) != key(rows="all")
    assert key(**change) == key()


@pytest.mark.parametrize("change", [{"tau": 5.0}, {"sink_dims": (8,)}])
@pytest.mark.parametrize("rows", ["after_image", "all"])
def test_which_tokens_are_sinks_is_part_of_the_key(rows: str, change: dict[str, Any]) -> None:
    assert key(rows=rows, **change) != key(rows=rows)
