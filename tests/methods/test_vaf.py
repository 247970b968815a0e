"""VAF: the scaling by hand, what counts as the system prompt, and where it acts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import MllamaConfig

from halluc.errors import UserError
from halluc.interventions import At
from halluc.methods.vaf import VAF, before_image
from halluc.models import VisionLanguageModel
from tests.kit.asking import answer, prepared, questions
from tests.kit.attention import attending, hidden_from
from tests.kit.families import build, llava


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return llava()


def edited(at: At, logits: Tensor, **params: Any) -> Tensor:
    return VAF(VAF.Params(**params)).attention_logits(at, logits)


def test_logits_are_scaled_by_hand() -> None:
    logits = torch.tensor([[[[2.0, -2.0, 4.0, -4.0, 3.0]], [[1.0, 0.0, -1.0, 2.0, -3.0]]]])
    out = edited(attending("ttiit"), logits)
    # .95 on the two before the image, 1.15 on the image, negative logits further down; text stays
    assert out[0, 0, 0].tolist() == pytest.approx([1.9, -1.9, 4.6, -4.6, 3.0])
    assert out[0, 1, 0].tolist() == pytest.approx([0.95, 0.0, -1.15, 2.3, -3.0])


def test_generated_keys_stay_and_padding_is_no_system_prompt() -> None:
    at = attending("ptiit", "tiitt", fed=2)
    out = edited(at, torch.ones(2, 1, 1, 7), enhance=3.0, suppress=0.5)
    assert out[0].flatten().tolist() == [1, 0.5, 3, 3, 1, 1, 1]
    assert out[1].flatten().tolist() == [0.5, 3, 3, 1, 1, 1, 1]


def test_what_stands_before_the_first_image_token() -> None:
    image = torch.tensor([[False, False, True, False, True], [False] * 5, [True] * 2 + [False] * 3])
    real = torch.tensor([[False, True, True, True, True]] * 3)
    assert before_image(image, real).tolist() == [[False, True] + [False] * 3, *[[False] * 5] * 2]


def test_prompts_that_start_with_the_image_or_have_none_lose_nothing() -> None:
    out = edited(attending("iit", "ttt"), torch.ones(2, 1, 1, 3), enhance=3.0, suppress=0.0)
    assert out.flatten(1).tolist() == [[3, 3, 1], [1, 1, 1]]


def test_keys_out_of_sight_and_rows_not_asked_for_stay() -> None:
    at = attending("tit", rows=3)
    at.rows[0, 2] = False
    logits = hidden_from(at, torch.ones(1, 1, 3, 3))
    out = edited(at, logits, enhance=0.0, suppress=0.0)
    lowest = torch.finfo(torch.float32).min
    assert out[0, 0].tolist() == [[0, lowest, lowest], [0, 0, lowest], [1, 1, 1]]


@pytest.mark.parametrize(("depth", "first", "last"), [(32, 9, 14), (40, 11, 17), (28, 7, 12)])
def test_layers_scale_with_depth(depth: int, first: int, last: int) -> None:
    deep: Any = llava(num_hidden_layers=depth)
    params = VAF.resolve(VAF.Params(), deep)
    assert (params.enhance, params.suppress) == (1.15, 0.95)
    assert list(VAF(params).layers(depth)) == list(range(first, last + 1))


def test_one_layer_is_left_and_others_can_be_asked_for(model: VisionLanguageModel) -> None:
    assert list(VAF(VAF.resolve(VAF.Params(), model)).layers(4)) == [1]
    some = VAF.resolve(VAF.Params(first_layer=2), model)
    assert (some.first_layer, some.last_layer) == (2, 2)
    with pytest.raises(UserError, match="'vaf': first_layer 1 to last_layer 4 is not a range"):
        VAF.resolve(VAF.Params(last_layer=4), model)
    with pytest.raises(UserError, match=r"'vaf' weighs image tokens.*layers for the image alone"):
        VAF.requires(VAF.Params(), MllamaConfig(), "some/model")


class Places(VAF):
    """Notes where logits are edited, and how many rows."""

    places: set[tuple[str, int, bool]]

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        out = super().attention_logits(at, logits)
        rows = (out != logits).any(3).any(1)
        assert torch.equal(rows, at.rows.expand_as(rows))
        self.places.add((at.phase, at.layer, int(rows.sum(1).min()) > 1))
        return out


def test_acts_in_rows_behind_the_image(model: VisionLanguageModel) -> None:
    method = Places(VAF.resolve(VAF.Params(), model))
    method.places = set()
    found = answer(model, method, questions(model, 0, 1))
    assert method.places == {("prefill", 1, True), ("decode", 1, False)}
    assert found.passes == [float(found.tokens.shape[1])] * 2


def test_a_family_whose_prompts_start_with_the_image() -> None:
    model = build("paligemma")
    batch = questions(model, 0)
    stock = answer(model, prepared("baseline", model), batch).logits
    weak = answer(model, prepared("vaf", model, enhance=1.0, suppress=0.0), batch).logits
    assert torch.allclose(weak, stock, atol=1e-4)
    assert not torch.allclose(
        answer(model, prepared("vaf", model, enhance=3.0), batch).logits, stock
    )
