"""CausalMM: counterfactual attention by hand, whose it is, what is drawn, variants, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LlavaConfig, SiglipVisionConfig

from halluc import testing
from halluc.config import DecodingConfig
from halluc.errors import UserError
from halluc.methods._counterfactuals import Kind, counterfactual, feature_map, uniform_draws
from halluc.methods.causalmm import CausalMM
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import build, llava
from tests.kit.places import combined

CLOSE: dict[str, Any] = {"atol": 1e-4, "rtol": 0.0}
KINDS: tuple[Kind, ...] = ("shuffled", "random", "uniform", "reversed")

ROW = torch.tensor([0.5, 0.2, 0.3, 0.0])
SEEN = torch.tensor([True, True, True, False])
DRAWS = torch.tensor([0.9, 0.1, 0.5, 0.0])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("shuffled", [0.2, 0.3, 0.5, 0]),  # by ascending draws: the second, the third, the first
        ("random", [0.6, 0.0667, 0.3333, 0]),  # .9, .1, .5 of 1.5
        ("uniform", [1 / 3, 1 / 3, 1 / 3, 0]),
        ("reversed", [0, 0.6, 0.4, 0]),  # .5 - A: 0, .3, .2 of .5
    ],
)
def test_counterfactual_attention_by_hand(kind: Kind, expected: list[float]) -> None:
    row, seen, draws = ROW[None, None, None], SEEN[None, None, None], DRAWS[None, None, None]
    found = counterfactual(kind, row, seen, draws)[0, 0, 0]
    assert found.tolist() == pytest.approx(expected, abs=1e-4)
    padded = counterfactual(kind, row.flip(-1), seen.flip(-1), draws.flip(-1))[0, 0, 0]
    if kind == "shuffled":  # .3, .2, .5 stand behind the padding, their draws .5, .1, .9
        assert padded.tolist() == pytest.approx([0, 0.2, 0.3, 0.5], abs=1e-4)
    else:
        assert padded.tolist() == pytest.approx(expected[::-1], abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_sum_to_one_and_see_no_more(kind: Kind) -> None:
    draw = torch.Generator().manual_seed(0)
    visible = torch.ones(2, 1, 5, 5).tril().bool()
    visible[1, :, :, :2] = False  # padding: two rows see nothing
    weights = (torch.randn(2, 3, 5, 5, generator=draw).exp() * visible).clamp(min=0)
    weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-9)
    found = counterfactual(kind, weights, visible, torch.rand(2, 3, 5, 5, generator=draw))
    assert not bool((found * ~visible).any())
    assert torch.allclose(found.sum(-1), visible.any(-1).float().expand(2, 3, 5))
    if kind == "shuffled":
        assert torch.allclose(found.sort(-1).values, weights.sort(-1).values)


def test_where_all_keys_are_alike_reversed_is_uniform() -> None:
    weights, visible = torch.tensor([[[[0.5, 0.5, 0]]]]), torch.tensor([[[[True, True, False]]]])
    found = counterfactual("reversed", weights, visible, weights)
    assert found.tolist() == [[[[0.5, 0.5, 0.0]]]]


def test_the_map_of_the_code_by_hand() -> None:
    # CLS and one patch: a map of 2 x 2, shrunk to the mean of its four, then over two heads
    weights = torch.tensor([[[[0.1, 0.9], [0.6, 0.4]], [[0.2, 0.8], [0.5, 0.5]]]])
    nothing = torch.zeros(1, 2, 4)
    assert feature_map("uniform", weights, nothing).tolist() == [pytest.approx([0.5])]
    # .9 - A: .8, 0, .3, .5 (mean .4); .8 - A: .6, 0, .3, .3 (mean .3)
    assert feature_map("reversed", weights, nothing).tolist() == [pytest.approx([0.35])]
    draws = torch.tensor([[[0.1, 0.2, 0.3, 0.8], [0.6, 0.0, 0.2, 0.4]]])
    # twice the draws: means .7 and .6
    assert feature_map("random", weights, draws).tolist() == [pytest.approx([0.65])]


def test_the_code_shuffles_a_head_as_one() -> None:
    weights = torch.arange(50.0).view(1, 2, 5, 5)
    draws = uniform_draws(3, (1, 2, 25))
    order = draws[0].argsort(-1)
    shuffled = torch.stack([weights[0, h].flatten()[order[h]].view(5, 5) for h in range(2)])
    small = torch.nn.functional.interpolate(shuffled[None], size=(2, 2), mode="bilinear")
    found = feature_map("shuffled", weights, draws)
    assert found.shape == (1, 4)
    assert torch.allclose(found[0], small[0].mean(0).flatten())


def test_defaults() -> None:
    paper = CausalMM.resolve(CausalMM.Params(), llava())
    assert (paper.parts, paper.gamma, paper.beta) == ("both", 0.5, 0.1)
    code = CausalMM.resolve(CausalMM.Params(variant="official_code"), llava())
    assert (code.parts, code.gamma, code.beta) == ("vision", 1.0, 0.6)
    assert (paper.vision, paper.text) == ("shuffled", "reversed")
    kept = CausalMM.resolve(CausalMM.Params(parts="text", gamma=0.3, beta=0.2), llava())
    assert (kept.parts, kept.gamma, kept.beta) == ("text", 0.3, 0.2)


def test_the_contrast_by_hand() -> None:
    rows = {
        "main": torch.tensor([[2.0, 1.0, -0.5]]),
        "vision": torch.tensor([[1.0, 2.0, 0.0]]),
        "text": torch.tensor([[0.0, 0.0, 3.0]]),
    }
    # 2 l - .5 l_v - .5 l_t; the cut is at 2 + log .1 = -.303
    both = CausalMM(CausalMM.Params(gamma=0.5, beta=0.1))
    assert combined(both, 0, **rows).tolist() == [[3.5, 1.0, -float("inf")]]
    # 1.5 l - .5 l_t
    text = CausalMM(CausalMM.Params(parts="text", gamma=0.5, beta=0.0))
    assert combined(text, main=rows["main"], text=rows["text"]).tolist() == [[3.0, 1.5, -2.25]]


def test_the_code_contrasts_the_first_token_alone() -> None:
    main, vision = torch.tensor([[2.0, 1.0, -0.5]]), torch.tensor([[1.0, 2.0, 0.0]])
    code = CausalMM(CausalMM.Params(variant="official_code", parts="vision", gamma=1.0, beta=0.1))
    assert combined(code, main=main, vision=vision).tolist() == [[3.0, 0.0, -float("inf")]]
    later = combined(code, 1, main=main, vision=vision)
    assert later.tolist() == [[2.0, 1.0, -float("inf")]]


@pytest.mark.parametrize(
    ("parts", "names", "tower", "layers"),
    [
        ("both", ("vision", "text"), True, 4),
        ("vision", ("vision",), True, 0),
        ("text", ("text",), False, 4),
    ],
)
def test_parts_act_where_they_say(
    parts: str, names: tuple[str, ...], tower: bool, layers: int
) -> None:
    model = llava()
    method: Any = prepared("causalmm", model, parts=parts)
    batch = questions(model, 0, 1)
    assert tuple(method.streams(batch, model)) == names
    assert method.attention_in_tower is tower and len(method.layers(4)) == layers
    made = answer(model, method, batch, tokens=3)
    assert made.passes == [3.0 * (1 + len(names))] * 2


def streams(model: Any, **params: Any) -> dict[str, Tensor]:
    """The first token's logits of each stream."""
    method, found = prepared("causalmm", model, **params), {}
    join = method.next_token_logits

    def noted(at: Any, logits: Any) -> Tensor:
        found.update({name: rows.clone() for name, rows in logits.items() if name not in found})
        return join(at, logits)

    method.next_token_logits = noted  # type: ignore[method-assign]
    answer(model, method, questions(model, 0, 1), tokens=2)
    return found


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "llava_next"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_changes_its_own_stream(family: str, kind: Kind) -> None:
    model = build(family)
    stock = answer(model, prepared("baseline", model), questions(model, 0, 1)).logits
    found = streams(model, vision=kind, text=kind)
    assert torch.allclose(found["main"], stock, **CLOSE)
    assert not torch.allclose(found["text"], stock, **CLOSE)
    assert not torch.allclose(found["vision"], stock, atol=1e-6, rtol=0)
    alone = streams(model, parts="vision", vision=kind)["vision"]
    assert torch.allclose(alone, found["vision"], **CLOSE)  # text leaves it as it is


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize(
    "params",
    [
        {"vision": "random", "text": "random"},
        {"text": "shuffled"},
        {"variant": "official_code", "beta": 0.01},
        {"variant": "official_code", "beta": 0.01, "vision": "random"},
    ],
)
def test_what_is_drawn_depends_on_no_batch(params: dict[str, Any], beams: int) -> None:
    model = llava()
    method = prepared("causalmm", model, **params)
    decoding = DecodingConfig(num_beams=beams)
    testing.needs_no_company(model, method, questions(model, 0, 1), decoding)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "idefics3"])
def test_nor_in_other_towers(family: str) -> None:
    model = build(family)
    method = prepared("causalmm", model, vision="random", text="shuffled")
    testing.needs_no_company(model, method, questions(model, 0, 1), DecodingConfig())


@pytest.mark.parametrize("name", ["vhr+causalmm", "var+causalmm", "causalmm+vti"])
def test_next_to_another_method(name: str) -> None:
    model = llava()
    batch = questions(model, 0, 1)
    (other,) = {*name.split("+")} - {"causalmm"}
    extra: dict[str, Any] = {"vti.demos": 2} if other == "vti" else {}
    own: dict[str, Any] = {key.removeprefix("vti."): value for key, value in extra.items()}
    noop = {"causalmm.gamma": 0.0, "causalmm.beta": 0.0} | extra
    alone = answer(model, prepared(other, model, **own), batch)
    found = answer(model, prepared(name, model, **noop), batch)
    assert torch.allclose(found.logits, alone.logits, **CLOSE)


def test_refusals() -> None:
    config = LlavaConfig(vision_config=SiglipVisionConfig())
    code = CausalMM.Params(variant="official_code")
    with pytest.raises(UserError, match="'causalmm' reads the CLS token's attention"):
        CausalMM.requires(code, config, "some/model")
    CausalMM.requires(CausalMM.Params(), config, "some/model")
    CausalMM.requires(code.model_copy(update={"parts": "text"}), config, "some/model")
    message = "causalmm edits what the vision tower computes, and flowcut thins out its tokens"
    with pytest.raises(UserError, match=message):
        prepared("flowcut+causalmm", llava())
