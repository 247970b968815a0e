"""Attention weights in the vision tower: whose image a row is, what an edit reaches, refusals."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from halluc.decoding.batch_encoding import encoded
from halluc.errors import UserError
from halluc.interventions import At, Batch, BatchState, Method
from halluc.interventions.base import Dependence
from halluc.interventions.compose import Composite
from halluc.interventions.engine import intervene
from halluc.interventions.requirements import needs_tower_attention
from halluc.models import VisionLanguageModel
from halluc.models.embed_prompt import reads_encoded
from halluc.testing import batch_of_questions
from tests.kit.asking import answer, prepared, questions, questions_about_shapes
from tests.kit.families import build, picture

CLOSE: dict[str, Any] = {"atol": 1e-4, "rtol": 0.0}


built = cache(build)


def model(family: str = "llava") -> VisionLanguageModel:
    """A tiny model; skips what this version of transformers cannot be handed encoded images of."""
    made = built(family)
    if not reads_encoded(made, made.encode([made.render("?")], [picture(0)])):
        pytest.skip(f"transformers {transformers.__version__} reads encoded images otherwise")
    return made


class Tower(Method):
    """Decodes the prompts twice; may exchange the tower's attention in one stream."""

    name = "tower"
    attention_in_tower = True
    prefix_depends_on: Dependence = "question"

    def __init__(self, even: str = "") -> None:
        super().__init__(Method.Params())
        self.even = even
        self.seen: list[tuple[int, list[int], list[int]]] = []

    def layers(self, n_layers: int) -> tuple[int, ...]:
        return ()

    def streams(self, batch: Batch, model: VisionLanguageModel) -> dict[str, Mapping[str, Any]]:
        return {"twin": batch.inputs}

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        assert at.part == "vision" and at.phase == "prefill"
        assert at.rows.shape == weights.shape[::2] and at.n_heads == weights.shape[1]
        assert at.visible is not None
        hidden = weights.masked_fill(at.visible[:, None], 0)
        assert torch.allclose(weights.sum(-1), torch.ones(())) and not bool(hidden.any())
        self.seen.append((at.layer, at.stream.tolist(), at.prompts.tolist()))
        if not self.even:
            return weights
        mine = (at.stream == at.streams.index(self.even))[:, None, None, None]
        return weights.new_full(weights.shape, 1 / weights.shape[-1]).where(mine, weights)

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        return logits["main"]


def two_shapes(family: str) -> Batch:
    """Two images, of which the second may be cut into more tiles or patches."""
    images = [picture(0, 32, 32), picture(1, 96, 32)]
    return encoded(model(family), batch_of_questions(["is there a dog ?"] * 2, images))


@pytest.mark.parametrize(
    "family", ["llava", "llava_next", "internvl", "idefics3", "gemma3", "lfm2_vl", "instructblip"]
)
@pytest.mark.parametrize("beams", [1, 2])
def test_rows_are_images_or_tiles_of_the_streams_in_order(family: str, beams: int) -> None:
    method = Tower()
    try:
        answer(model(family), method, two_shapes(family), beams=beams, tokens=2)
    except UserError as refusal:  # before transformers 5.18, beams mix tiles up
        pytest.skip(str(refusal))
    assert [layer for layer, _, _ in method.seen] == [0, 1, 2]
    (_, streams, prompts), *others = method.seen
    assert all(other[1:] == (streams, prompts) for other in others)
    half = len(streams) // 2
    assert streams == [0] * half + [1] * half and prompts[:half] == prompts[half:]
    assert prompts[:half] == sorted(prompts[:half]) and set(prompts) == {0, 1}
    if family == "idefics3":  # cut into different numbers of tiles
        assert (prompts[:half].count(0), prompts[:half].count(1)) == (5, 3)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen2_vl", "glm4v", "qwen3_vl"])
def test_patches_below_each_other_come_image_by_image(family: str) -> None:
    method = Tower()
    answer(model(family), method, two_shapes(family), tokens=2)
    for layer in range(3):
        calls = [(*stream, *prompt) for at, stream, prompt in method.seen if at == layer]
        assert calls == sorted(calls)  # the first stream's images, then the second's
        assert set(calls) == {(0, 0), (0, 1), (1, 0), (1, 1)}


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "idefics2", "llava_next"])
def test_weights_that_come_back_as_they_were_change_nothing(family: str) -> None:
    batch = questions_about_shapes(model(family), 0, 1)
    stock = answer(model(family), prepared("baseline", model(family)), batch)
    found = answer(model(family), Tower(), batch)
    assert torch.allclose(found.logits, stock.logits, **CLOSE)


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "llava_next"])
def test_an_edit_of_one_stream_reaches_that_stream_alone(family: str) -> None:
    class Other(Tower):
        def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
            return logits["twin"]

    batch = questions_about_shapes(model(family), 0, 1)
    stock = answer(model(family), prepared("baseline", model(family)), batch).logits
    assert torch.allclose(answer(model(family), Tower("twin"), batch).logits, stock, **CLOSE)
    assert not torch.allclose(answer(model(family), Other("twin"), batch).logits, stock, **CLOSE)
    assert torch.allclose(answer(model(family), Other("main"), batch).logits, stock, **CLOSE)


def test_a_shared_prefix_shows_the_first_prompt_that_has_it() -> None:
    class Shared(Tower):
        prefix_depends_on: Dependence = "method"

    images = [picture(0), picture(0), picture(1), picture(1)]
    batch = encoded(model(), batch_of_questions(["is there a dog ?"] * 4, images))
    method = Shared()
    answer(model(), method, batch, tokens=2)
    assert [seen[1:] for seen in method.seen] == [([0, 0], [0, 2])] * 3


def test_the_tower_is_left_alone_unless_asked() -> None:
    class Text(Tower):
        attention_in_tower = False

        def layers(self, n_layers: int) -> tuple[int, ...]:
            return (0,)

        def attention_weights(self, at: At, weights: Tensor) -> Tensor:
            assert at.part == "text"
            return weights

    before = model().attention_of("vision")
    inputs = questions(model(), 0).inputs
    with torch.no_grad():
        with intervene(model(), Text(), BatchState.of_inputs(model(), inputs)):
            assert model().attention_of("vision") == before
            model().model(**inputs)
        with intervene(model(), Tower(), BatchState.of_inputs(model(), inputs)):
            assert model().attention_of("vision") != before
            model().model(**inputs)
    assert model().attention_of("vision") == before


def test_a_part_of_a_composite_is_called_in_the_tower_if_it_asks() -> None:
    class Look(Method):
        name = "look"
        seen: list[str] = []

        def attention_weights(self, at: At, weights: Tensor) -> Tensor:
            self.seen.append(at.part)
            return weights

    class Both(Composite):
        parts = ()

    tower, look = Tower(), Look(Method.Params())
    both = prepared("vhr+var", model())
    both.methods = [tower, look]
    both.attention_in_tower, both.resting = True, {"head_gain", "prepare", "hidden"}
    inputs = questions(model(), 0).inputs
    with (
        torch.no_grad(),
        intervene(model(), both, BatchState.of_inputs(model(), inputs)),
    ):
        model().model(**inputs)
    assert {layer for layer, *_ in tower.seen} == {0, 1, 2}
    assert set(look.seen) == {"text"}


def test_a_tower_that_reads_images_in_one_row_is_refused() -> None:
    needs_tower_attention("tower", model("qwen2_5_vl"))
    message = r"'tower' edits attention in the vision tower, and that of 'tiny-mistral3' cannot be"
    with pytest.raises(UserError, match=message):
        needs_tower_attention("tower", model("mistral3"))
    with pytest.raises(UserError, match=message.replace("tower'", "causalmm'")):
        prepared("causalmm", model("mistral3"))
    prepared("causalmm", model("mistral3"), parts="text")


@pytest.mark.parametrize("family", ["idefics2", "mllama"])
def test_a_tower_that_pads_to_the_largest_of_a_batch_is_refused(family: str) -> None:
    message = rf"'tower' edits .*'tiny-{family}' pads images there to the largest of a batch"
    with pytest.raises(UserError, match=message):
        needs_tower_attention("tower", built(family))
    needs_tower_attention("tower", model("smolvlm"))  # which pads with whole tiles
