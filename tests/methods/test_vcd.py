"""VCD: noise scales and contrast by hand, whose noise it is, pixels that come in parts."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc import testing
from halluc.config import DecodingConfig
from halluc.decoding.batch_encoding import encoded
from halluc.errors import UserError
from halluc.interventions import Batch
from halluc.methods.vcd import VCD, diffused, noise_scales, normal_noise
from halluc.models import VisionLanguageModel
from halluc.testing import batch_of_questions
from tests.kit.asking import QUESTIONS, answer, prepared, questions
from tests.kit.families import build, llava, picture

CLOSE: dict[str, Any] = {"atol": 1e-4, "rtol": 0.0}


@pytest.mark.parametrize(
    ("step", "image", "noise"),
    [(0, 0.999989, 0.004726), (500, 0.8630, 0.5052), (999, 0.2850, 0.9585)],
)
def test_scales_of_image_and_noise(step: int, image: float, noise: float) -> None:
    # Step 0 by hand: beta = sigmoid(-6) * .00499 + .00001 = 2.2338e-5, its root .0047263.
    assert noise_scales(step) == pytest.approx((image, noise), abs=5e-5 if step else 1e-6)


def test_step_500_has_501_factors() -> None:
    left = 1.0
    for number in range(501):
        rise = 1 / (1 + 2.718281828459045 ** (6 - 12 * number / 999))
        left *= 1 - (rise * (0.005 - 1e-5) + 1e-5)
    assert noise_scales(500)[0] ** 2 == pytest.approx(left, abs=1e-9)


def test_pixels_keep_their_dtype_and_mix_with_noise() -> None:
    pixels, noise = torch.tensor([[2.0, -1.0]]), torch.tensor([[1.0, 4.0]])
    image, share = noise_scales(999)
    found = diffused(pixels, noise, 999)
    expected = [2 * image + share, -image + 4 * share]
    assert found[0].tolist() == pytest.approx(expected, abs=1e-6)
    assert diffused(pixels.half(), noise, 999).dtype == torch.float16


def test_both_frames_of_a_still_image_get_the_same_noise() -> None:
    noise = normal_noise((5, 3 * 2 * 16), seed=3, frames=2).view(5, 3, 2, 16)
    assert torch.equal(noise[:, :, 0], noise[:, :, 1])
    assert noise[:, :, 0].unique().numel() == 5 * 3 * 16
    assert float(noise.std()) == pytest.approx(1, abs=0.1)
    assert torch.equal(noise.view(5, -1), normal_noise((5, 96), seed=3, frames=2))
    assert not torch.equal(noise.view(5, -1), normal_noise((5, 96), seed=4, frames=2))


def test_defaults() -> None:
    model = llava()
    paper = VCD.resolve(VCD.Params(), model)
    assert (paper.alpha, paper.beta, paper.step) == (1.0, 0.1, 500)
    official = VCD.resolve(VCD.Params(variant="official_code"), model)
    assert (official.alpha, official.beta, official.step) == (1.0, 0.2, 500)
    assert VCD.resolve(VCD.Params(beta=0.3), model).beta == 0.3
    assert VCD.resolve(VCD.Params(beta=0.3, variant="official_code"), model).beta == 0.3


def noised(model: VisionLanguageModel, batch: Batch, **params: Any) -> Tensor:
    """The noisy images of a batch."""
    inputs = prepared("vcd", model, **params).streams(batch, model)["noised"]
    assert set(inputs) == set(batch.inputs)
    others = [key for key in inputs if key != "pixel_values"]
    assert all(torch.equal(inputs[key], batch.inputs[key]) for key in others)
    pixels: Tensor = inputs["pixel_values"]
    return pixels


def two_about_one(model: VisionLanguageModel, **changes: Any) -> Batch:
    batch = batch_of_questions(QUESTIONS, [picture(0)] * 2, ["a", "b"])
    return encoded(model, replace(batch, **changes))


def test_questions_about_one_image_share_its_noise() -> None:
    model = llava()
    batch = two_about_one(model)
    first, second = noised(model, batch)
    assert torch.equal(first, second)
    other = noised(model, two_about_one(model, ids=["c", "d"]))[0]
    assert torch.equal(first, other)  # whatever the questions
    assert not torch.allclose(first, noised(model, two_about_one(model, seed=1))[0])
    expected = diffused(
        batch.inputs["pixel_values"][:1],
        normal_noise((1, 3, 32, 32), batch.image_seeds[0]), 500,
    )  # fmt: skip
    assert torch.equal(first, expected[0])


def test_the_code_draws_noise_once_a_question() -> None:
    model = llava()
    batch = two_about_one(model)
    first, second = noised(model, batch, variant="official_code")
    assert not torch.allclose(first, second)
    noise = normal_noise((1, 3, 32, 32), batch.seeds[1])
    assert torch.equal(second, diffused(batch.inputs["pixel_values"][1:], noise, 500)[0])


def test_the_contrast_by_hand() -> None:
    cut: list[Tensor] = []
    at: Any = SimpleNamespace(forbid=cut.append)
    logits = {
        "main": torch.tensor([[2.0, 1.0, -0.5]]),
        "noised": torch.tensor([[1.0, 2.0, -4.0]]),
    }
    # 1.5 l - .5 l'; the cut is at 2 + log .1 = -.303 of the clear image's logits
    method = VCD(VCD.Params(alpha=0.5, beta=0.1))
    assert method.next_token_logits(at, logits).tolist() == [[2.5, 0.5, 1.25]]
    assert cut[0].tolist() == [[False, False, True]]


def test_equal_streams_give_the_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llava()
    batch = questions(model, 0, 1)
    stock = answer(model, prepared("baseline", model), batch)
    method = prepared("vcd", model, alpha=5.0, step=0)
    assert not torch.allclose(answer(model, method, batch).logits, stock.logits, **CLOSE)
    monkeypatch.setattr("halluc.methods.vcd.diffused", lambda pixels, noise, step: pixels)
    found = answer(model, method, batch)
    assert torch.allclose(found.logits, stock.logits, **CLOSE)
    assert torch.equal(found.tokens, stock.tokens)


@pytest.mark.parametrize("family", ["qwen2_vl", "glm4v"])
def test_copies_of_a_still_image_stay_copies(family: str) -> None:
    model = build(family)
    batch = two_about_one(model)
    frames = noised(model, batch).unflatten(1, (3, 2, -1))
    assert torch.equal(frames[:, :, 0], frames[:, :, 1])
    given = batch.inputs["pixel_values"].unflatten(1, (3, 2, -1))
    assert torch.equal(given[:, :, 0], given[:, :, 1])  # as the processor has it


@pytest.mark.parametrize("family", ["llava_next", "idefics2", "mistral3", "qwen2_vl", "internvl"])
def test_noise_depends_on_no_batch(family: str) -> None:
    model = build(family)
    images = [picture(0), picture(1, 64, 48)]
    batch = encoded(model, batch_of_questions(QUESTIONS, images))
    testing.needs_no_company(model, prepared("vcd", model), batch, DecodingConfig())


def test_questions_about_a_padded_image_encode_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("idefics2")
    batch = two_about_one(model)
    method = prepared("vcd", model)
    calls: list[int] = []
    encode = type(model).encode

    def counted(*given: Any) -> Any:
        calls.append(1)
        return encode(*given)

    monkeypatch.setattr(type(model), "encode", counted)
    first, second = method.streams(batch, model)["noised"]["pixel_values"]
    assert torch.equal(first, second) and calls == [1]


def test_a_model_without_pixels_is_refused() -> None:
    blind: Any = SimpleNamespace(name="blind", render=str, encode=lambda *_: {"input_ids": 0})
    with pytest.raises(UserError, match=r"'vcd' adds noise to pixel_values.*'blind' makes none"):
        VCD.resolve(VCD.Params(), blind)


@pytest.mark.parametrize(
    ("name", "noop", "other"),
    [
        ("vhr+vcd", {"vhr.gain": 1.0}, "vcd"),
        ("vhr+vcd", {"vcd.alpha": 0.0, "vcd.beta": 0.0}, "vhr"),
    ],
)
def test_with_another_method(name: str, noop: dict[str, Any], other: str) -> None:
    model = llava()
    batch = questions(model, 0, 1)
    alone = answer(model, prepared(other, model), batch)
    both = answer(model, prepared(name, model, **noop), batch)
    assert torch.allclose(both.logits, alone.logits, **CLOSE)
    assert not torch.allclose(answer(model, prepared(name, model), batch).logits, alone.logits)


def test_with_another_method_in_a_batch() -> None:
    model = llava()
    batch = questions(model, 0, 1)
    testing.needs_no_company(model, prepared("vhr+vcd", model), batch, DecodingConfig(num_beams=2))
