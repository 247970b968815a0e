"""AD-HH: the cut by hand, published heads, and heads found again where they were planted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import MllamaConfig

from halluc.calibration import Calibrator
from halluc.calibration.calibration_samples import drawn
from halluc.errors import UserError
from halluc.interventions import At, BatchState, Method
from halluc.interventions.engine import intervene
from halluc.methods import _head_influence, adhh
from halluc.methods._head_influence import influences, where_captions_part
from halluc.methods._text_heads import published_heads, strongest, text_keys
from halluc.methods.adhh import ADHH
from halluc.models import VisionLanguageModel
from tests.kit.asking import answer, questions
from tests.kit.attention import attending
from tests.kit.demonstrations import in_known_words
from tests.kit.families import llava
from tests.kit.families.parts import config

FIRST = {0: (0,)}


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return llava()


def edited(at: At, weights: Tensor, **params: Any) -> Tensor:
    return ADHH(ADHH.Params(**{"heads": FIRST} | params)).attention_weights(at, weights)


def test_the_cut_by_hand() -> None:
    # Text behind the image holds .1 + .3 = .4, which is enough; nothing is scaled up for it.
    row = torch.tensor([0.2, 0.4, 0.1, 0.3], dtype=torch.float64)
    out = edited(attending("titt"), row.expand(1, 2, 1, 4))
    assert out[0, 0, 0].tolist() == [0.2, 0.4, 0, 0]
    assert out[0, 1, 0].tolist() == row.tolist()  # a head that is not named
    stays = edited(attending("titt"), row.expand(1, 2, 1, 4), threshold=0.41)
    assert stays[0, 0, 0].tolist() == row.tolist()
    other = edited(attending("titt", layer=1), row.expand(1, 2, 1, 4))
    assert other[0, 0, 0].tolist() == row.tolist()


def test_each_row_and_prompt_is_judged_by_itself() -> None:
    weights = torch.tensor([[0.5, 0.2, 0.3], [0.1, 0.2, 0.7]])[:, None, None].expand(2, 2, 1, 3)
    out = edited(attending("tit", "tit"), weights)
    assert out[:, 0, 0].tolist() == [pytest.approx([0.5, 0.2, 0.3]), pytest.approx([0.1, 0.2, 0])]


def test_text_is_what_stands_behind_the_image() -> None:
    at = attending("ptiitt", "iitttt", "tttttt", fed=2)
    assert text_keys(at).int().tolist() == [
        [0, 0, 0, 0, 1, 1, 1, 1],
        [0, 0, 1, 1, 1, 1, 1, 1],
        [0] * 8,  # no image: nothing to look at in its place
    ]
    assert text_keys(attending("it", beams=2)).tolist() == [[False, True]] * 2


def test_rows_not_asked_for_stay() -> None:
    at = attending("itt", rows=2)
    at.rows[0, 0] = False
    weights = torch.full((1, 2, 2, 3), 0.3)
    out = edited(at, weights)
    assert out[0, 0].tolist() == [pytest.approx([0.3] * 3), pytest.approx([0.3, 0, 0])]


VICUNA: dict[str, dict[str, Any]] = {
    "7b": {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32},
    "13b": {"hidden_size": 5120, "num_hidden_layers": 40, "num_attention_heads": 40},
    "34b": {"hidden_size": 7168, "num_hidden_layers": 60, "num_attention_heads": 56},
}


def checkpoint(family: str, size: str, kind: str = "llama", **more: Any) -> Any:
    made = config(kind, **VICUNA[size] | {"vocab_size": 32064} | more)
    return config(family, text_config=made.to_dict())


YI: dict[str, Any] = {"num_key_value_heads": 8, "vocab_size": 64064}


@pytest.mark.parametrize(
    ("made", "count", "some"),
    [
        (checkpoint("llava", "7b"), 20, {16: (29,), 26: (9, 28), 15: (10, 24, 25), 17: (0, 28)}),
        (checkpoint("llava", "13b"), 35, {0: (8, 22), 39: (26, 32), 20: (8, 11, 34)}),
        (checkpoint("llava_next", "34b", **YI), 10, {43: (2, 4, 48), 54: (34,)}),
    ],
)
def test_heads_are_published_for_three_checkpoints(made: Any, count: int, some: Any) -> None:
    heads = published_heads(made)
    assert heads is not None and sum(map(len, heads.values())) == count
    assert {layer: heads[layer] for layer in some} == some


@pytest.mark.parametrize(
    "made",
    [
        checkpoint("llava_next", "7b"),
        checkpoint("llava", "7b", vocab_size=128320, num_key_value_heads=8),
        checkpoint("llava", "7b", vocab_size=128320),
        checkpoint("llava", "7b", kind="mistral", num_key_value_heads=32),
        checkpoint("instructblip", "7b"),
    ],
)
def test_and_for_no_others(made: Any) -> None:
    assert published_heads(made) is None


def test_defaults(monkeypatch: pytest.MonkeyPatch, model: VisionLanguageModel) -> None:
    monkeypatch.setattr(adhh, "published_heads", lambda _: {2: (1,)})
    params = ADHH.resolve(ADHH.Params(), model)
    assert (params.threshold, params.heads, params.demos) == (0.4, {2: (1,)}, 16)
    assert ADHH(params).layers(4) == [2]


@pytest.mark.parametrize(
    ("heads", "named"), [({4: (0,)}, "heads names layer 4"), ({1: (4,)}, "heads names head 4")]
)
def test_heads_the_model_lacks_are_refused(
    heads: Any, named: str, model: VisionLanguageModel
) -> None:
    with pytest.raises(UserError, match=f"'adhh': {named}"):
        ADHH.resolve(ADHH.Params(heads=heads), model)
    with pytest.raises(UserError, match=r"'adhh' weighs image tokens.*layers for the image alone"):
        ADHH.requires(ADHH.Params(), MllamaConfig(), "some/model")


def test_the_strongest_20_in_1024_and_at_least_one() -> None:
    tried = {(layer, head): float(layer == 3) + head for layer in range(8) for head in range(16)}
    # 20 / 1024 of 128 is 2.5, which rounds to 2
    assert strongest(tried) == {3: (15,), 0: (15,)}
    assert strongest({(0, 0): -2.0, (1, 1): -1.0}) == {1: (1,)}


def test_captions_are_read_up_to_where_they_part(model: VisionLanguageModel) -> None:
    shown = in_known_words(3)
    found = where_captions_part(model, shown)
    assert found is not None
    inputs, follow = found
    words = model.processor.tokenizer.convert_ids_to_tokens
    assert [words(row.tolist()) for row in follow] == [
        ["dog", "cat"],
        ["cat", "car"],
        ["car", "dog"],
    ]
    read = [
        model.processor.tokenizer.decode(row, skip_special_tokens=True)
        for row in inputs["input_ids"]
    ]
    for text, before in zip(read, ("there is a", "this image is a", "a"), strict=True):
        assert text.endswith(before)
    assert (
        where_captions_part(model, [one._replace(hallucinated=one.truthful) for one in shown])
        is None
    )


def test_influence_is_the_fall_of_the_hallucinated_word_against_the_true_one(
    model: VisionLanguageModel,
) -> None:
    shown = in_known_words(2)
    found = influences(model, shown)
    assert set(found) == {(layer, head) for layer in range(4) for head in range(4)}
    part = where_captions_part(model, shown)
    assert part is not None
    inputs, follow = part

    def lead(method: ADHH | None) -> Tensor:
        served = method or Method(Method.Params())
        with torch.no_grad(), intervene(model, served, BatchState.of_inputs(model, inputs)):
            chance = model.model(**inputs).logits[:, -1].log_softmax(-1)
        ahead: Tensor = chance.gather(1, follow[:, 1:]) - chance.gather(1, follow[:, :1])
        return ahead

    cut = ADHH(ADHH.Params(heads={2: (1,)}, threshold=0.0))
    assert found[2, 1] == pytest.approx(float((lead(None) - lead(cut)).mean()), abs=1e-4)
    assert abs(found[2, 1]) > 1e-4


def test_batches_of_demonstrations_change_nothing(
    model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = influences(model, in_known_words(3))
    monkeypatch.setattr(_head_influence, "_BATCH", 2)
    parts = influences(model, in_known_words(3))
    assert parts == pytest.approx(whole, abs=1e-4)


def test_a_head_that_says_hallucinated_words_is_found() -> None:
    made = llava(3)
    shown = in_known_words(1)
    part = where_captions_part(made, shown)
    assert part is not None
    true, wrong = part[1][0].tolist()
    head = made.model.lm_head.weight
    with torch.no_grad():  # the third head of the last layer alone says anything
        for layer, attention in made.self_attention.items():
            output: Any = attention.o_proj
            written = torch.zeros_like(output.weight)
            if layer == 3:
                written[:, 16:24] = (head[wrong] - head[true])[:, None]
            output.weight.copy_(written)
        tried = influences(made, shown)
        if tried[3, 2] < 0:  # it said the true word
            output.weight.neg_()
            tried = influences(made, shown)
    assert tried.pop((3, 2)) > 0.1
    assert list(tried.values()) == pytest.approx([0.0] * 15, abs=1e-5)


def test_models_of_other_words_are_served_all_the_same(model: VisionLanguageModel) -> None:
    params = ADHH.resolve(ADHH.Params(demos=1), model)
    assert params.heads == {0: (0,)}  # it knows no word of the drawn scenes
    found = answer(model, ADHH(params), questions(model, 0, 1))
    assert max(found.passes) == found.tokens.shape[1]


def test_calibration_measures_what_is_not_published(
    model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halluc.calibration.demonstrations.drawn_demonstrations", in_known_words)
    found = ADHH.calibrate(ADHH.Params(), Calibrator(model, drawn(4)))
    tried = influences(model, in_known_words(4))
    assert found.params == {"heads": strongest(tried), "demos": 4}
    assert found.report["influence"]["2.1"] == pytest.approx(tried[2, 1])
    monkeypatch.setattr(adhh, "published_heads", lambda _: {2: (1,)})
    with pytest.raises(UserError, match="AD-HH's heads are published; --recalibrate measures"):
        ADHH.calibrate(ADHH.Params(), Calibrator(model, drawn(4)))
    again = ADHH.calibrate(ADHH.Params(), Calibrator(model, drawn(4), recalibrate=True))
    assert again.params == found.params


class Places(ADHH):
    """Notes where weights are edited."""

    places: set[tuple[str, int, int]]

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        out = super().attention_weights(at, weights)
        if (out != weights).any():
            assert not (out != weights)[:, 1:].any()  # the first head alone
            self.places.add((at.phase, at.layer, weights.shape[2]))
        return out


def test_acts_in_the_last_row_of_each_pass(model: VisionLanguageModel) -> None:
    heads = {1: (0,), 3: (0,)}
    method = Places(ADHH.Params(heads=heads, threshold=0.0))
    method.places = set()
    answer(model, method, questions(model, 0, 1))
    assert method.places == {
        (phase, layer, 1) for phase in ("prefill", "decode") for layer in heads
    }
