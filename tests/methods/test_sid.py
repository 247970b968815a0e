"""SID: which image tokens the other stream sees, where it goes without the others, variants."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import MllamaConfig

from halluc.config import DecodingConfig
from halluc.errors import UserError
from halluc.methods._dropped_tokens import away, smallest
from halluc.methods.sid import SID, unattended
from halluc.models import VisionLanguageModel
from halluc.testing import reply
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import build, llava
from tests.kit.places import combined

CLOSE: dict[str, Any] = {"atol": 1e-4, "rtol": 0.0}


def places(mask: Tensor) -> list[list[int]]:
    return [row.nonzero()[:, 0].tolist() for row in mask]


def test_the_smallest_among_those_that_count() -> None:
    scores = torch.tensor([[0.3, 0.1, 0.2, 0.1, 0.0], [5.0, 4.0, 3.0, 2.0, 1.0], [1.0] * 5])
    among = torch.tensor([[1, 1, 1, 1, 0], [1, 0, 0, 1, 0], [0] * 5]).bool()
    # half of 4, 2 and 0 tokens; of the two that are equal both, then the first alone
    assert places(smallest(scores, among, 0.5)) == [[1, 3], [3], []]
    # a fifth: .8 of a token is 1, .4 is none, but one there has to be
    assert places(smallest(scores, among, 0.2)) == [[1], [3], []]
    assert torch.equal(smallest(scores, among, 1.0), among)


@pytest.mark.parametrize(("tokens", "kept"), [(576, 100), (256, 44), (32, 6), (16, 3), (2, 1)])
def test_a_hundred_of_576_tokens_is_a_share_of_others(tokens: int, kept: int) -> None:
    # 100 / 576 = .1736: of 256 44.4, of 32 5.6, of 16 2.8, of 2 .35
    found = smallest(torch.rand(1, tokens), torch.ones(1, tokens).bool(), SID.Params().share)
    assert int(found.sum()) == kept


def test_the_last_row_looks_on_average_over_heads() -> None:
    last = torch.tensor([[[0.1, 0.5, 0.2, 0.2]], [[0.1, 0.1, 0.7, 0.1]]])  # two heads
    weights = torch.cat([last.flip(-1), last], 1)[None]
    image = torch.tensor([[False, True, True, True]])
    # means of the image tokens: .3, .45, .15
    assert places(unattended(weights, image, 1 / 3)) == [[3]]
    assert places(unattended(weights, image, 2 / 3)) == [[1, 3]]


def test_keys_out_of_sight_get_nothing_unless_there_is_nothing_else() -> None:
    logits = torch.tensor([1.0, 2.0, 3.0]).expand(2, 1, 1, 3)
    weights = (logits + away(torch.tensor([[0, 1, 0], [1, 1, 1]]).bool())).softmax(-1)[:, 0, 0]
    # e^1 : e^3 = 1 : 7.389
    assert weights[0].tolist() == pytest.approx([0.1192, 0, 0.8808], abs=1e-4)
    assert torch.allclose(weights[1], logits[0, 0, 0].softmax(-1), atol=1e-3)


@pytest.mark.parametrize(("depth", "layer"), [(32, 2), (28, 2), (80, 5), (12, 1), (4, 1)])
def test_layers_scale_with_depth(depth: int, layer: int) -> None:
    model: Any = SimpleNamespace(n_layers=depth, self_attention=dict.fromkeys(range(depth)))
    found = SID.resolve(SID.Params(), model)
    assert found.layer == layer
    assert SID(found).layers(depth) == range(layer - 1, depth)


@pytest.mark.parametrize("variant", ["paper", "official_code"])
def test_defaults(variant: str) -> None:
    found = SID.resolve(SID.Params.model_validate({"variant": variant}), llava())
    assert (found.alpha, found.beta, found.layer) == (1.0, 0.1, 1)
    assert found.share == pytest.approx(100 / 576)


def test_layers_without_attention_are_passed_over_or_refused() -> None:
    model: Any = SimpleNamespace(name="mixed", n_layers=6, self_attention={2: None, 4: None})
    assert SID.resolve(SID.Params(), model).layer == 3
    message = r"'sid': layer 2 has to be one of 1 to 5 of 'mixed', behind.*attention: 2, 4"
    with pytest.raises(UserError, match=message):
        SID.resolve(SID.Params(layer=2), model)
    with pytest.raises(UserError, match="layer 6"):
        SID.resolve(SID.Params(layer=6), model)


def test_a_model_without_image_tokens_is_refused() -> None:
    with pytest.raises(UserError, match="'some/model' has layers for the image alone"):
        SID.requires(SID.Params(), MllamaConfig(), "some/model")


def test_the_contrast_by_hand() -> None:
    main, other = torch.tensor([[2.0, 1.0, -0.5]]), torch.tensor([[1.0, 2.0, -4.0]])
    # 2 l - l'; the cut is at 2 + log .1 = -.303, which the code's greedy search leaves out
    assert combined(SID(SID.Params()), main=main, other=other).tolist() == [[3, 0, -float("inf")]]
    code = SID(SID.Params(variant="official_code"))
    assert combined(code, main=main, other=other).tolist() == [[3.0, 0.0, 3.0]]
    drawn = combined(code, 0, False, main=main, other=other)
    assert drawn.tolist() == [[3.0, 0.0, -float("inf")]]


@pytest.mark.parametrize(
    ("how", "same"), [({}, False), ({"do_sample": True}, True), ({"num_beams": 2}, True)]
)
def test_the_code_leaves_the_cut_out_of_greedy_search_alone(how: Any, same: bool) -> None:
    model, batch = llava(), questions(llava(), 0, 1)
    decoding = DecodingConfig(**how)
    paper, code = (
        reply(model, prepared("sid", model, alpha=50.0, beta=1.0, variant=variant), batch, decoding)
        for variant in ("paper", "official_code")
    )
    assert torch.equal(paper.tokens, code.tokens) == same


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_a_stream_that_sees_all_tokens_is_the_main_one(family: str) -> None:
    model = build(family)
    batch = questions(model, 0, 1)
    stock = answer(model, prepared("baseline", model), batch)
    found = answer(model, prepared("sid", model, alpha=5.0, beta=0.0, share=1.0), batch)
    assert torch.allclose(found.logits, stock.logits, **CLOSE)
    assert torch.equal(found.tokens, stock.tokens)
    fewer = answer(model, prepared("sid", model, alpha=5.0, beta=0.0, share=0.5), batch)
    assert not torch.allclose(fewer.logits, stock.logits, **CLOSE)


def seen(model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch, **params: Any) -> Any:
    """The numbers of visible image tokens, by pass and layer, of main and other stream."""
    method, found = prepared("sid", model, **params), []
    bias = SID.attention_bias

    def noted(self: SID, at: Any) -> Tensor:
        made = bias(self, at)
        sight = at.image_columns & (made[:, 0, 0] == 0)
        found.append((at.phase, at.layer, sight.sum(1).tolist()))
        return made

    monkeypatch.setattr(SID, "attention_bias", noted)
    answer(model, method, questions(model, 0), tokens=2)
    return found


def test_tokens_go_out_of_sight_behind_the_layer_in_every_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = seen(llava(), monkeypatch, layer=2, share=0.25)
    expected = [(1, [16, 16]), (2, [16, 4]), (3, [16, 4])]
    assert found == [(phase, *one) for phase in ("prefill", "decode") for one in expected]


@pytest.mark.parametrize("family", ["instructblip", "gemma3", "qwen3_vl", "lfm2_vl", "llava_next"])
def test_other_families(family: str) -> None:
    model = build(family)
    batch = questions(model, 0, 1)
    stock = answer(model, prepared("baseline", model), batch)
    found = answer(model, prepared("sid", model, beta=0.0), batch)
    assert bool(found.logits.isfinite().all())
    assert not torch.allclose(found.logits, stock.logits, **CLOSE)
