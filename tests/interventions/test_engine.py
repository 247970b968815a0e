"""The engine's promises: identity, restore, batches, beams, no leaks, no silent misses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.doctor.probes import Identity, LooksAway
from halluc.interventions import At, BatchState, Method
from halluc.interventions.attention_switch import SeamError
from halluc.interventions.engine import intervene
from tests.kit.asking import logits_after
from tests.kit.families import llava, prompts
from tests.kit.loud import LoudBias, LoudEverywhere, LoudLogits

SHORT, LONG = "is there a dog ?", "please describe this image is there a car in the image ?"


def build(cls: type[Method]) -> Method:
    return cls(cls.Params())


def generate(model: Any, method: Method, inputs: dict[str, Tensor], **how: Any) -> Tensor:
    with torch.inference_mode(), intervene(model, method, BatchState.of_inputs(model, inputs)):
        tokens: Tensor = model.model.generate(**inputs, do_sample=False, max_new_tokens=6, **how)
    return tokens[:, inputs["input_ids"].shape[1] :]


def test_identity_leaves_logits_alone() -> None:
    model = llava()
    inputs = prompts(model, SHORT, LONG)
    stock = model.model(**inputs).logits[:, -1]
    assert torch.allclose(logits_after(model, build(Identity), inputs), stock, atol=1e-5)


def test_no_seam_is_bit_exact() -> None:
    model = llava()
    inputs = prompts(model, SHORT, LONG)
    stock = model.model(**inputs).logits[:, -1]
    assert torch.equal(logits_after(model, build(Method), inputs), stock)


@pytest.mark.parametrize("raises", [False, True])
def test_leaving_restores_the_model(raises: bool) -> None:
    model = llava()
    inputs = prompts(model, SHORT)
    before = model.model(**inputs).logits
    state = {name: p.clone() for name, p in model.model.named_parameters()}
    try:
        with intervene(model, build(LooksAway), BatchState.of_inputs(model, inputs)):
            model.model(**inputs)
            if raises:
                raise KeyError
    except KeyError:
        pass
    assert model.text_attention == "sdpa"
    assert torch.equal(model.model(**inputs).logits, before)
    assert all(torch.equal(p, state[name]) for name, p in model.model.named_parameters())
    assert not any(m._forward_pre_hooks for m in model.model.modules())


@pytest.mark.parametrize("cls", [LooksAway, LoudBias, LoudLogits, LoudEverywhere])
def test_batch_and_padding_do_not_change_an_edit(cls: type[Method]) -> None:
    model = llava()
    batch = logits_after(model, build(cls), prompts(model, SHORT, LONG))
    pairs = zip((SHORT, LONG), pictures(), strict=True)
    encoded = [model.encode([model.render(q)], [p]) for q, p in pairs]
    alone = torch.cat([logits_after(model, build(cls), one) for one in encoded])
    stock = torch.cat([model.model(**one).logits[:, -1] for one in encoded])
    assert torch.allclose(batch, alone, atol=1e-4)
    assert (alone - stock).abs().max() > 1e-2


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("cls", [Identity, LooksAway, LoudBias, LoudLogits, LoudEverywhere])
def test_generation_agrees_between_batch_and_single(cls: type[Method], beams: int) -> None:
    model = llava()
    batch = generate(model, build(cls), prompts(model, SHORT, LONG), num_beams=beams)
    for row, (question, image) in enumerate(zip((SHORT, LONG), pictures(), strict=True)):
        one = model.encode([model.render(question)], [image])
        alone = generate(model, build(cls), one, num_beams=beams)[0]
        assert batch[row, : len(alone)].tolist() == alone.tolist()


def test_bias_and_logits_are_two_ways_to_the_same_edit() -> None:
    model = llava()
    inputs = prompts(model, LONG, LONG)
    # No image row precedes the image here but BOS and "USER:", which cannot see it.
    image = inputs["input_ids"] == model.model.config.image_token_id

    class After(LoudLogits):
        def attention_logits(self, at: At, logits: Tensor) -> Tensor:
            return super().attention_logits(at, logits)

    class AfterOnly(LoudBias):
        def attention_bias(self, at: At) -> Tensor:
            bias = super().attention_bias(at)
            if not at.prefill:
                return bias
            after: Tensor = image.flip(1).cumsum(1).flip(1) == 0
            return bias * after[:, None, :, None]

    assert torch.allclose(
        logits_after(model, build(After), inputs),
        logits_after(model, build(AfterOnly), inputs),
        atol=1e-5,
    )


def test_all_rows_are_the_real_ones_and_edited_as_the_kernel_would() -> None:
    model = llava()
    inputs = prompts(model, SHORT, LONG)
    seen: list[At] = []

    class Spy(LoudEverywhere):
        def attention_logits(self, at: At, logits: Tensor) -> Tensor:
            seen.append(at)
            return super().attention_logits(at, logits)

    assert torch.allclose(
        logits_after(model, build(Spy), inputs),
        logits_after(model, build(LoudBias), inputs),
        atol=1e-5,
    )
    assert torch.equal(seen[0].rows, inputs["attention_mask"].bool())
    assert seen[0].rows.sum(1).unique().numel() == 2  # one of them is padded
    assert seen[0].n_heads == 4


def test_a_seam_that_binds_to_nothing_is_an_error() -> None:
    class Nowhere(LooksAway):
        def layers(self, n_layers: int) -> range:
            return range(n_layers, n_layers)

    model = llava()
    with pytest.raises(SeamError, match="'attention_logits' bound to nothing"):
        logits_after(model, build(Nowhere), prompts(model, SHORT))


def test_at_says_where_the_image_is() -> None:
    seen: list[At] = []

    class Spy(Method):
        name = "spy"

        def attention_logits(self, at: At, logits: Tensor) -> Tensor:
            assert logits.shape[2] == at.rows.shape[1]
            assert logits.shape[3] == at.image_columns.shape[1] == at.real.shape[1]
            seen.append(at)
            return logits

    model = llava()
    generate(model, build(Spy), prompts(model, SHORT, LONG))
    assert [s.layer for s in seen[:4]] == [0, 1, 2, 3]
    assert seen[0].prefill and not seen[4].prefill
    assert seen[0].image_columns.sum(1).tolist() == [16, 16]
    assert seen[-1].image_columns.sum(1).tolist() == [16, 16]
    # "is there a dog ?" and "ASSISTANT:" come after the image.
    assert seen[0].rows.sum(1).tolist() == [6, len(LONG.split()) + 1]


def pictures() -> list[Any]:
    from tests.kit.families import picture

    return [picture(0), picture(1)]
