"""DAMRO: which tokens are outliers, what the other stream sees, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import InstructBlipConfig, LlavaConfig, SiglipVisionConfig

from halluc.errors import UserError
from halluc.interventions.context import At
from halluc.methods.damro import DAMRO, outliers
from halluc.models import VisionLanguageModel
from tests.kit.asking import answer, prepared, questions, questions_about_shapes
from tests.kit.families import build, llava
from tests.kit.places import combined

CLOSE: dict[str, Any] = {"atol": 1e-4, "rtol": 0.0}


@pytest.mark.parametrize(("one_head", "found"), [(False, [1, 2]), (True, [2, 3])])
def test_outliers_by_hand(one_head: bool, found: list[int]) -> None:
    # two heads; means .1, .31, .26, .25, products .01, .0061, .0640, .0624
    attention = torch.tensor([[0.1, 0.1], [0.61, 0.01], [0.2, 0.32], [0.24, 0.26]])
    assert outliers(attention, 0.5, one_head).nonzero()[:, 0].tolist() == found


def test_the_order_of_one_head_over_the_full_width() -> None:
    draw = torch.Generator().manual_seed(0)
    query = torch.randn(4, 8, generator=draw)  # heads of width 8
    key = torch.randn(20, 4, 8, generator=draw)
    heads = torch.einsum("hd,nhd->nh", query, key) / 8**0.5
    whole = (key.flatten(1) @ query.flatten() / 32**0.5).softmax(0)
    # the logits of a head are q k / sqrt(8), of all together their sum times sqrt(8) / sqrt(32)
    assert torch.allclose(whole, (heads.sum(1) / 2).softmax(0))
    for share in (0.05, 0.3, 0.8):
        best = whole.topk(max(1, round(share * 20))).indices
        marked = outliers(heads.softmax(0), share, one_head=True)
        assert marked.nonzero()[:, 0].tolist() == best.sort().values.tolist()


def test_tokens_that_are_no_patch_come_last() -> None:
    attention = torch.tensor([[0.0, 0.0], [1e-30, 1e-30], [0.5, 0.5]])
    assert outliers(attention, 2 / 3, one_head=True).tolist() == [False, True, True]


@pytest.mark.parametrize("variant", ["paper", "official_code"])
def test_defaults(variant: str) -> None:
    found = DAMRO.resolve(DAMRO.Params.model_validate({"variant": variant}), llava())
    assert (found.alpha, found.beta, found.vision_layer) == (2.0, 0.1, -2)
    assert found.share == pytest.approx(10 / 576)
    assert prepared("damro", llava(), variant=variant).vision_layers == (-2,)


def test_the_features_layer_is_the_models() -> None:
    model = llava()
    model.model.config.vision_feature_layer = -1
    assert DAMRO.resolve(DAMRO.Params(), model).vision_layer == -1
    model.model.config.vision_feature_layer = 1  # what leaves the first of three
    assert DAMRO.resolve(DAMRO.Params(), model).vision_layer == -3


def test_refusals() -> None:
    config = LlavaConfig(vision_config=SiglipVisionConfig())
    with pytest.raises(UserError, match=r"'damro' reads the CLS.*'some/model' \(siglip_vision_m"):
        DAMRO.requires(DAMRO.Params(), config, "some/model")
    with pytest.raises(UserError, match=r"'damro' chooses among patches.*learned queries"):
        DAMRO.requires(DAMRO.Params(), InstructBlipConfig(), "some/model")
    with pytest.raises(UserError, match=r"vision_layer -4 is not one of the 3 layers.*-3 to -1"):
        prepared("damro", llava(), vision_layer=-4)
    several = build("vipllava")
    with pytest.raises(UserError, match="'tiny-vipllava' does not read exactly one; set vision_la"):
        prepared("damro", several)
    assert prepared("damro", several, vision_layer=-1).vision_layers == (-1,)


def test_the_contrast_by_hand() -> None:
    main, other = torch.tensor([[2.0, 1.0, -0.5]]), torch.tensor([[1.0, 2.0, -4.0]])
    # 3 l - 2 l'; the cut is at 2 + log .1 = -.303
    found = combined(DAMRO(DAMRO.Params()), main=main, other=other)
    assert found.tolist() == [[4.0, -1.0, -float("inf")]]


@pytest.mark.parametrize("variant", ["paper", "official_code"])
def test_a_stream_that_sees_all_tokens_is_the_main_one(variant: str) -> None:
    model = llava()
    batch = questions(model, 0, 1)
    stock = answer(model, prepared("baseline", model), batch)
    params: dict[str, Any] = {"alpha": 5.0, "beta": 0.0, "variant": variant}
    found = answer(model, prepared("damro", model, share=1.0, **params), batch)
    assert torch.allclose(found.logits, stock.logits, **CLOSE)
    assert torch.equal(found.tokens, stock.tokens)
    fewer = answer(model, prepared("damro", model, share=0.5, **params), batch)
    assert not torch.allclose(fewer.logits, stock.logits, **CLOSE)


def test_variants_differ() -> None:
    model = llava()
    attention: Any = model.tower.attention_modules[-2]
    with torch.no_grad():
        attention.q_proj.weight.mul_(40.0)  # heads that attend to few patches each
    batch = questions(model, 0, 1)
    replies = [
        answer(model, prepared("damro", model, variant=variant, share=0.3, beta=0.0), batch)
        for variant in ("paper", "official_code")
    ]
    assert not torch.allclose(replies[0].logits, replies[1].logits, **CLOSE)


def seen(model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch, beams: int) -> Any:
    """The numbers of visible image tokens, by pass, layer and row."""
    bias, found = DAMRO.attention_bias, []

    def noted(self: DAMRO, at: At) -> Tensor:
        made = bias(self, at)
        sight = at.image_columns & (made[:, 0, 0] == 0)
        found.append((at.phase, at.layer, sight.sum(1).tolist()))
        return made

    monkeypatch.setattr(DAMRO, "attention_bias", noted)
    method = prepared("damro", model, share=0.25)
    answer(model, method, questions(model, 0, 1), beams=beams, tokens=2)
    return found


@pytest.mark.parametrize("beams", [1, 2])
def test_the_other_stream_alone_sees_the_outliers_in_all_layers(
    beams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = seen(llava(), monkeypatch, beams)
    rows = [16] * 2 * beams + [4] * 2 * beams
    assert found == [(phase, n, rows) for phase in ("prefill", "decode") for n in range(4)]


def test_tiles_share_the_tokens_of_their_image() -> None:
    model = build("llava_next")
    batch = questions_about_shapes(model, 0, 1)
    found = answer(model, prepared("damro", model, beta=0.0), batch)
    stock = answer(model, prepared("baseline", model), batch)
    assert not torch.allclose(found.logits, stock.logits, **CLOSE)


def test_next_to_a_method_that_reads_the_tower_too() -> None:
    model = llava()
    batch = questions(model, 0, 1)
    both = prepared("paint+damro", model, **{"paint.alpha": 0.0, "paint.beta": 0.0})
    assert set(both.vision_layers) == {0, -2}
    alone = answer(model, prepared("damro", model), batch)
    assert torch.allclose(answer(model, both, batch).logits, alone.logits, **CLOSE)
