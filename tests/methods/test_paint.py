"""PAINT: hand-computed token choice and boost, and the CLS attention it reads."""

from __future__ import annotations

import torch

from halluc.interventions import BatchState
from halluc.interventions.engine import intervene
from halluc.methods._image_emphasis import emphasise, local_tokens, summary_tokens
from halluc.methods.paint import PAINT
from tests.kit.families import llava, prompts


def test_summary_tokens_are_outliers_above_the_upper_fence() -> None:
    # Quartiles of 1..8 and 40 are 3 and 7: the fence is 7 + 1.5 * 4 = 13.
    attention = torch.tensor([[1.0, 2, 3, 4, 5, 6, 7, 8, 40], [1.0, 2, 3, 4, 5, 6, 7, 8, 13]])
    assert summary_tokens(attention).sum(1).tolist() == [1, 0]
    assert summary_tokens(attention)[0, 8]


def test_local_tokens_are_the_top_quarter_less_the_summary() -> None:
    attention = torch.tensor([[8.0, 1, 7, 2, 3, 4, 5, 6, 0]])
    summary = torch.zeros(1, 9, dtype=torch.bool)
    assert local_tokens(attention, summary, 0.25)[0].nonzero()[:, 0].tolist() == [0, 2]
    summary[0, 0] = True
    assert local_tokens(attention, summary, 0.25)[0].nonzero()[:, 0].tolist() == [2]


def test_boost_follows_the_magnitude_of_the_logit() -> None:
    scores = torch.tensor([[[[1.0, -2.0, 3.0, -4.0]]]])
    local = torch.tensor([[True, True, False, False]])
    summary = torch.tensor([[False, False, True, False]])
    rows = torch.ones(1, 1, dtype=torch.bool)
    out = emphasise(scores, local, summary, rows, alpha=0.5, beta=0.1)
    assert torch.allclose(out, torch.tensor([[[[1.5, -1.0, 3.3, -4.0]]]]))
    assert torch.equal(emphasise(scores, local, summary, ~rows, alpha=0.5, beta=0.1), scores)


def test_reads_the_cls_attention_of_the_vision_tower() -> None:
    model = llava()
    inputs = prompts(model, "is there a dog ?", "describe this image please")
    model.model.set_attn_implementation({"vision_config": "eager"})
    tower = model.model.base_model.vision_tower
    attentions = tower(inputs["pixel_values"], output_attentions=True).attentions
    model.model.set_attn_implementation({"vision_config": "sdpa"})

    method, state = PAINT(PAINT.Params()), BatchState.of_inputs(model, inputs)
    with torch.inference_mode(), intervene(model, method, state):
        model.model(**inputs)
    for layer in (0, -2):
        expected = attentions[layer][:, :, 0, 1:].transpose(1, 2)
        found = torch.stack(state.vision_attention[layer])
        assert torch.allclose(found, expected, atol=1e-5)
    assert model.attention_of("vision") == "sdpa"
    local, summary = state.method["local"], state.method["summary"]
    assert local.sum(1).max() <= 4
    assert not (local & summary).any()
    assert not (local & ~state.tokens.image_mask).any()


def test_the_code_boosts_the_prompt_where_nothing_is_guided() -> None:
    boosted = {
        (variant, gamma): PAINT.filled(PAINT.Params(variant=variant, gamma=gamma)).boost_prompt
        for variant in ("paper", "official_code")
        for gamma in (None, 1.0, 1.1)
    }
    assert [key for key, boost in boosted.items() if not boost] == [
        ("official_code", None),
        ("official_code", 1.1),
    ]
