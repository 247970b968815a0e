"""MemVR: its trigger and one edit by hand, whose rows, which layer, and once in a pass."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.errors import UserError
from halluc.methods.memvr import MemVR, retraced, uncertainty
from halluc.models import VisionLanguageModel
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import build, llava

LOW = -30.0


def test_uncertainty_by_hand() -> None:
    flat = [0.0] * 10 + [LOW] * 5
    two = [3.0, 3.0] + [LOW] * 13
    eleven = [1.0] * 11 + [LOW] * 4  # the eleventh does not count
    skewed = [4.0, 2.0] + [LOW] * 13  # .880797 and .119203: .365335 nats
    found = uncertainty(torch.tensor([flat, two, eleven, skewed]))
    assert found.tolist() == pytest.approx([1.0, 0.301030, 1.0, 0.158663], abs=1e-5)


INPUTS = torch.tensor([[[1.0, 1.0], [0.0, -1.0]]])
OUTPUTS = torch.tensor([[[2.0, -2.0], [0.0, 1.0]]])
VISUAL = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]])
BOTH = torch.tensor([[True, True]])


def test_an_edit_by_hand() -> None:
    # x V^T is 1, 2 and 0, -2; times V: 1, 4 and 0, -4. Sizes: 5 / 4 of the output, 9 / 4 of that.
    found = retraced(INPUTS, OUTPUTS, VISUAL, BOTH, 0.25, None)
    expected = [1.5 + 5 / 36, -1.5 + 20 / 36, 0.0, 0.75 - 20 / 36]
    assert found.flatten().tolist() == pytest.approx(expected, abs=1e-6)
    # without an activation the scale of the image tokens does not matter
    assert torch.allclose(retraced(INPUTS, OUTPUTS, 7 * VISUAL, BOTH, 0.25, None), found)


def test_an_edit_with_activation() -> None:
    # relu leaves 1, 2 and 0, 0: reads 1, 4 and 0, 0, of the output's size
    found = retraced(INPUTS, OUTPUTS, VISUAL, BOTH, 0.5, torch.relu)
    assert found.flatten().tolist() == pytest.approx([1.5, 1.0, 0.0, 0.5], abs=1e-6)


def test_padding_is_neither_edited_nor_measured() -> None:
    rows = torch.tensor([[False, True]])
    found = retraced(INPUTS, OUTPUTS, VISUAL, rows, 0.5, None)
    assert found.flatten().tolist() == pytest.approx([2.0, -2.0, 0.0, 0.0], abs=1e-6)


def test_samples_are_measured_apart() -> None:
    inputs, outputs = (torch.cat([part, 3 * part.flip(1)]) for part in (INPUTS, OUTPUTS))
    visual, rows = VISUAL.repeat(2, 1, 1), BOTH.repeat(2, 1)
    found = retraced(inputs, outputs, visual, rows, 0.25, None)
    assert torch.allclose(found[:1], retraced(INPUTS, OUTPUTS, VISUAL, BOTH, 0.25, None))


def test_defaults() -> None:
    params = MemVR.Params()
    assert (params.ratio, params.threshold, params.variant) == (0.12, 0.75, "paper")
    for depth, first, last in ((32, 6, 15), (28, 5, 13), (4, 1, 1)):
        method = prepared("memvr", llava(num_hidden_layers=depth))
        assert list(method.layers(depth)) == [0, *range(first + 1, last + 2)]


@pytest.mark.parametrize(("depth", "first", "last"), [(32, 10, 15), (28, 8, 13), (4, 1, 1)])
def test_qwen_triggers_later(
    depth: int, first: int, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = llava(num_hidden_layers=depth)
    monkeypatch.setattr(model.model.config, "model_type", "qwen2_5_vl")
    assert list(prepared("memvr", model).layers(depth)) == [0, *range(first + 1, last + 2)]


def seams(threshold: float = 0.5) -> tuple[MemVR, Any]:
    """The method, and an `at` of three rows of which the last has no image."""
    flat, sharp = [0.0] * 12, [9.0] + [0.0] * 11
    read = {0.0: sharp, 1.0: flat}

    def read_off(last: Tensor) -> Tensor:
        return torch.tensor([read[row[0].item()] for row in last])

    mask = torch.tensor([[False, True, True], [True, False, False], [False, False, False]])
    at = SimpleNamespace(
        layer=0, prefill=True, state={}, image_mask=mask, model=SimpleNamespace(read_off=read_off),
        rows=torch.ones(3, 3, dtype=torch.bool),
    )  # fmt: skip
    method = MemVR(
        MemVR.Params(variant="official_code", threshold=threshold, first_layer=1, last_layer=3)
    )
    method.hidden(at, torch.arange(18.0).view(3, 3, 2))  # type: ignore[arg-type]
    return method, at


def stream(*last: float) -> Tensor:
    """Rows whose last token says whether it is unsure; others say the contrary."""
    hidden = 1 - torch.tensor(last)[:, None, None].expand(-1, 3, 2).clone()
    hidden[:, -1] = torch.tensor(last)[:, None]
    return hidden


def test_image_tokens_are_kept_at_mean_size_one() -> None:
    _, at = seams()
    # of 2..5 the mean is 3.5, of 6 and 7 it is 6.5
    expected = torch.zeros(3, 3, 2)
    expected[0, 1:] = torch.tensor([[2.0, 3.0], [4.0, 5.0]]) / 3.5
    expected[1, 0] = torch.tensor([6.0, 7.0]) / 6.5
    assert torch.allclose(at.state["visual"], expected)


def test_the_first_unsure_layer_of_each_pass() -> None:
    method, at = seams()

    def layer(number: int, *last: float) -> list[bool]:
        at.layer = number
        method.hidden(at, stream(*last))
        unsure: list[bool] = at.state["unsure"].tolist()
        return unsure

    assert layer(2, 0.0, 1.0, 1.0) == [False, True, False]  # the third has no image
    assert layer(3, 1.0, 1.0, 1.0) == [True, False, False]  # the second had its turn
    assert layer(4, 1.0, 1.0, 1.0) == [False, False, False]
    at.layer, at.prefill = 0, False
    method.hidden(at, stream(1.0, 1.0, 1.0))
    assert torch.allclose(at.state["visual"][1, 0], torch.tensor([6.0, 7.0]) / 6.5)
    assert layer(2, 1.0, 1.0, 1.0) == [True, True, False]


def test_uncertainty_has_to_be_exceeded() -> None:
    limit = float(uncertainty(torch.zeros(1, 12)))
    for threshold, found in ((limit, False), (limit - 1e-3, True)):
        method, at = seams(threshold)
        at.layer = 2
        method.hidden(at, stream(1.0, 1.0, 1.0))
        assert at.state["unsure"].tolist() == [found, found, False]


def test_only_unsure_samples_are_edited() -> None:
    method, at = seams()
    at.layer, outputs = 2, torch.randn(3, 3, 2, generator=torch.Generator().manual_seed(0))
    method.hidden(at, stream(0.0, 1.0, 1.0))
    found = method.feed_forward(at, stream(1.0, 1.0, 1.0), outputs)
    assert torch.equal(found[0], outputs[0]) and torch.equal(found[2], outputs[2])
    assert not torch.allclose(found[1], outputs[1])
    at.layer = 0
    assert method.feed_forward(at, outputs, outputs) is outputs


def test_memory_follows_beams() -> None:
    method, at = seams()
    moved = method.reorder(at.state, torch.tensor([1, 1, 0]))
    assert torch.equal(moved["visual"][1], at.state["visual"][1])
    assert torch.equal(moved["visual"][2], at.state["visual"][0])
    assert moved["image"].tolist() == [True, True, True]


def watched(
    model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch, **params: Any
) -> list[tuple[int, list[bool], tuple[int, ...]]]:
    """The layer, samples and size of each edit in an answer to two questions."""
    edits: list[tuple[int, list[bool], tuple[int, ...]]] = []
    act = MemVR.feed_forward

    def feed_forward(self: MemVR, at: Any, inputs: Tensor, outputs: Tensor) -> Tensor:
        found = act(self, at, inputs, outputs)
        changed = (found != outputs).flatten(1).any(1)
        if changed.any():
            edits.append((at.layer, changed.tolist(), tuple(outputs.shape)))
        return found

    monkeypatch.setattr(MemVR, "feed_forward", feed_forward)
    answer(model, prepared("memvr", model, **params), questions(model, 0, 1), tokens=3)
    return edits


def test_the_engine_edits_once_in_each_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llava(num_hidden_layers=8)
    edits = watched(model, monkeypatch, threshold=0.0, first_layer=2, last_layer=5)
    assert [layer for layer, _, _ in edits] == [3, 3, 3]  # behind the first that may trigger
    assert [size[1] > 1 for _, _, size in edits] == [True, False, False]
    assert all(samples == [True, True] for _, samples, _ in edits)


def test_all_rows_of_the_prompt_are_edited_and_no_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llava()
    batch = questions(model, 0, 1)
    edited: list[Tensor] = []
    act = MemVR.feed_forward

    def feed_forward(self: MemVR, at: Any, inputs: Tensor, outputs: Tensor) -> Tensor:
        found = act(self, at, inputs, outputs)
        if at.layer == 2:
            edited.append((found != outputs).any(-1))
        return found

    monkeypatch.setattr(MemVR, "feed_forward", feed_forward)
    answer(model, prepared("memvr", model, threshold=0.0), batch, tokens=1)
    real = batch.inputs["attention_mask"].bool()
    assert not real.all()
    assert torch.equal(edited[0], real)


def test_nothing_exceeds_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watched(llava(), monkeypatch, threshold=1.001) == []


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_image_tokens_are_the_projected_features(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(family)
    batch = questions(model, 0, 1)
    kept: list[dict[str, Tensor]] = []
    begin = MemVR.begin

    def watched_begin(self: MemVR, batch: Any) -> Any:
        kept.append(begin(self, batch))
        return kept[-1]

    monkeypatch.setattr(MemVR, "begin", watched_begin)
    answer(model, prepared("memvr", model), batch, tokens=1)
    features = model.encode_images(batch.inputs).pooler_output
    for found, image in zip(kept[0]["visual"], features, strict=True):
        real = found[found.abs().sum(-1) > 0]
        assert torch.allclose(real, image / image.abs().mean(), atol=1e-5)


def test_the_variants_differ() -> None:
    model = llava()
    batch = questions(model, 0, 1)
    paper, official = (
        answer(model, prepared("memvr", model, threshold=0.0, variant=variant), batch).logits
        for variant in ("paper", "official_code")
    )
    assert not torch.allclose(paper, official, atol=1e-3)


def test_models_it_does_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="'memvr' looks at image tokens; 'tiny-mllama' has layers"):
        prepared("memvr", build("mllama"))
    model = llava()
    with pytest.raises(UserError, match="'tiny-llava' has none behind some of the layers 2 to 3"):
        prepared("memvr", model, first_layer=2, last_layer=3)
    with pytest.raises(UserError, match="none behind some of the layers 2 to 1"):
        prepared("memvr", model, first_layer=2, last_layer=1)
    monkeypatch.setitem(model.__dict__, "feed_forwards", {2: object()})
    prepared("memvr", model, variant="official_code")
    with pytest.raises(UserError, match="'tiny-llava' has no up_proj; use official_code"):
        prepared("memvr", model)


def test_with_other_methods() -> None:
    model = llava()
    batch = questions(model, 0, 1)
    alone = answer(model, prepared("memvr", model), batch)
    quiet = prepared("vhr+memvr", model, **{"vhr.gain": 1.0})
    assert torch.allclose(answer(model, quiet, batch).logits, alone.logits, atol=1e-4)
    # a stream of its own sees its own image
    quiet = prepared("vcd+memvr", model, **{"vcd.alpha": 0.0, "vcd.beta": 0.0})
    assert torch.allclose(answer(model, quiet, batch).logits, alone.logits, atol=1e-4)
    both = answer(model, prepared("dola+memvr", model), batch)
    assert not torch.allclose(both.logits, answer(model, prepared("dola", model), batch).logits)
