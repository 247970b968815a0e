"""HGAI: the boost by hand, and where it acts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import MllamaConfig

from halluc.errors import UserError
from halluc.interventions import At
from halluc.methods.hgai import HGAI, guided_by_heads
from halluc.models import VisionLanguageModel
from tests.kit.asking import answer, questions
from tests.kit.attention import attending, hidden_from
from tests.kit.families import llava


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return llava()


def test_all_heads_rise_by_half_their_mean_size() -> None:
    logits = torch.tensor([[[[1.0, -2.0, 3.0, 5.0]], [[0.0, 4.0, -1.0, 7.0]]]])
    out = HGAI(HGAI.Params()).attention_logits(attending("tiit"), logits)
    # (2 + 4) / 2 = 3 and (3 + 1) / 2 = 2: half of it is added to both heads
    assert out.tolist() == [[[[1.0, -0.5, 4.0, 5.0]], [[0.0, 5.5, 0.0, 7.0]]]]


def test_each_row_and_key_has_its_own_mean() -> None:
    scores = torch.tensor([[[[2.0, 2.0], [4.0, 6.0]], [[0.0, -2.0], [4.0, 2.0]]]])
    keys = torch.tensor([[[[True, True], [False, True]]]])
    out = guided_by_heads(scores, keys, 1.0)
    assert out.tolist() == [[[[3, 4], [4, 10]], [[1, 0], [4, 6]]]]


def test_keys_out_of_sight_rows_not_asked_for_and_other_prompts_stay() -> None:
    at = attending("iit", "ttt", rows=3)
    at.rows[0, 1] = False
    logits = hidden_from(at, torch.ones(2, 2, 3, 3))
    out = HGAI(HGAI.Params(alpha=3.0)).attention_logits(at, logits)
    lowest = torch.finfo(torch.float32).min
    assert out[0, 0].tolist() == [[4, lowest, lowest], [1, 1, lowest], [4, 4, 1]]
    assert torch.equal(out[1], logits[1])


def test_generated_rows_are_guided_too() -> None:
    out = HGAI(HGAI.Params()).attention_logits(attending("it", fed=2), torch.ones(1, 1, 1, 4))
    assert out.flatten().tolist() == [1.5, 1, 1, 1]


@pytest.mark.parametrize(("depth", "first", "last"), [(32, 5, 18), (40, 6, 22), (28, 4, 15)])
def test_layers_scale_with_depth(depth: int, first: int, last: int) -> None:
    deep: Any = llava(num_hidden_layers=depth)
    params = HGAI.resolve(HGAI.Params(), deep)
    assert params.alpha == 0.5
    assert list(HGAI(params).layers(depth)) == list(range(first, last + 1))


def test_layers_can_be_asked_for(model: VisionLanguageModel) -> None:
    assert list(HGAI(HGAI.resolve(HGAI.Params(), model)).layers(4)) == [0, 1]
    some = HGAI.resolve(HGAI.Params(first_layer=3), model)
    assert (some.first_layer, some.last_layer) == (3, 3)
    with pytest.raises(UserError, match="'hgai': first_layer 0 to last_layer 9 is not a range"):
        HGAI.resolve(HGAI.Params(last_layer=9), model)
    with pytest.raises(UserError, match=r"'hgai' weighs image tokens.*layers for the image alone"):
        HGAI.requires(HGAI.Params(), MllamaConfig(), "some/model")


class Places(HGAI):
    """Notes where logits are edited."""

    places: set[tuple[str, int, int]]

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        out = super().attention_logits(at, logits)
        edited = (out != logits).any(3)
        assert edited.all() if at.prefill else edited[:1].all()  # the second ends before the first
        assert not ((out != logits) & ~at.image_columns[:, None, None]).any()
        self.places.add((at.phase, at.layer, logits.shape[2]))
        return out


def test_acts_in_the_last_row_of_each_pass(model: VisionLanguageModel) -> None:
    method = Places(HGAI.resolve(HGAI.Params(), model))
    method.places = set()
    found = answer(model, method, questions(model, 0, 1))
    assert method.places == {
        (phase, layer, 1) for phase in ("prefill", "decode") for layer in (0, 1)
    }
    assert found.passes == [float(found.tokens.shape[1])] * 2
