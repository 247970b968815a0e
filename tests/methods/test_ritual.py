"""RITUAL: each transform by hand, whose transform it is, the sum of logits by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import exp
from random import Random
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from halluc.decoding.batch_encoding import encoded
from halluc.interventions import Batch
from halluc.methods._transforms import (
    Transform,
    bell,
    blurred,
    cropped,
    cut,
    jittered,
    transformed,
    turned,
)  # fmt: skip
from halluc.methods.ritual import RITUAL, drawn
from halluc.models import VisionLanguageModel
from halluc.testing import batch_of_questions
from tests.kit.asking import QUESTIONS, prepared
from tests.kit.families import build, llava, picture
from tests.kit.places import combined

NAMES: tuple[Transform, ...] = get_args(Transform)


class Fixed(Random):
    """Draws the middle, or a number that is given, of every range, and shuffles nothing."""

    def __init__(self, *numbers: float) -> None:
        super().__init__(0)
        self.numbers = list(numbers)
        self.ranges: list[tuple[float, float]] = []

    def uniform(self, a: float, b: float) -> float:
        self.ranges.append((round(a, 4), round(b, 4)))
        return self.numbers.pop(0) if self.numbers else (a + b) / 2

    def randint(self, a: int, b: int) -> int:
        self.ranges.append((a, b))
        return int(self.numbers.pop(0)) if self.numbers else a

    def shuffle(self, x: Any) -> None:
        return


def pixels(image: Image.Image) -> Any:
    return np.asarray(image, dtype=np.int64)


def test_flips() -> None:
    image = picture(0, 5, 4)
    assert np.array_equal(pixels(transformed(image, "horizontal_flip", Random(0))),
                          pixels(image)[:, ::-1])  # fmt: skip
    assert np.array_equal(pixels(transformed(image, "vertical_flip", Random(0))),
                          pixels(image)[::-1])  # fmt: skip


def test_a_rotation_keeps_the_size_and_fills_in_black() -> None:
    image = Image.new("RGB", (9, 9), (255, 255, 255))
    draw = Fixed(45.0)
    turned_by_45 = pixels(transformed(image, "rotation", draw))
    assert draw.ranges == [(-180, 180)]
    assert turned_by_45.shape == (9, 9, 3)
    assert turned_by_45[0, 0].tolist() == [0, 0, 0] and turned_by_45[4, 4].tolist() == [255] * 3
    image = picture(0, 6, 6)
    quarter = pixels(transformed(image, "rotation", Fixed(90.0)))
    assert np.array_equal(quarter, np.rot90(pixels(image)))  # against the clock


def test_jitter_by_hand() -> None:
    image = Image.new("RGB", (2, 1), (100, 100, 100))
    image.putpixel((1, 0), (40, 40, 40))
    draw = Fixed(0.5, 1.0, 1.0, 0.0)  # half as bright, all else as it is
    assert pixels(jittered(image, draw))[0, :, 0].tolist() == [50, 20]
    assert draw.ranges == [(0, 2), (0, 2), (0, 2), (-0.5, 0.5)]
    # around the mean grey of 70: 70 + 2 * 30, 70 - 2 * 30
    assert pixels(jittered(image, Fixed(1.0, 2.0, 1.0, 0.0)))[0, :, 0].tolist() == [130, 10]
    red = Image.new("RGB", (1, 1), (200, 0, 0))
    # without saturation red is .299 * 200 = 60 of grey
    assert pixels(jittered(red, Fixed(1.0, 1.0, 0.0, 0.0))).tolist() == [[[60, 60, 60]]]
    assert pixels(jittered(red, Fixed(1.0, 1.0, 1.0, 0.5)))[0, 0, 0] < 5  # red is cyan then


def test_changes_come_in_any_order() -> None:
    image = picture(1, 8, 8)
    kinds = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color]
    found = {pixels(jittered(image, Random(seed))).tobytes() for seed in range(20)}
    assert len(found) == 20
    draw, order = Random(3), [*kinds, None]
    draw.shuffle(order)
    expected = image
    for kind in order:
        share = draw.uniform(-0.5, 0.5) if kind is None else draw.uniform(0, 2)
        expected = turned(expected, share) if kind is None else kind(expected).enhance(share)
    assert np.array_equal(pixels(jittered(image, Random(3))), pixels(expected))
    assert order[:3] != kinds


def test_hues_turn_by_steps() -> None:
    # red at 0 of 256 turns by int(1 / 3 * 255) = 85, a third of the circle: green
    assert pixels(turned(Image.new("RGB", (1, 1), (255, 0, 0)), 1 / 3)).tolist()[0][0][1] == 255
    # and by int(-1 / 3 * 255) = -85, 171 of 256: blue
    assert pixels(turned(Image.new("RGB", (1, 1), (255, 0, 0)), -1 / 3)).tolist()[0][0][2] == 255
    # by int(.5 * 255) = 127 of 256, which is green and, of blue, 255 (6 * 127 / 255 - 2) = 252
    assert pixels(turned(Image.new("RGB", (1, 1), (255, 0, 0)), 0.5)).tolist() == [[[0, 255, 252]]]
    grey = Image.new("RGB", (1, 1), (9, 9, 9))
    assert pixels(turned(grey, 0.4)).tolist() == [[[9, 9, 9]]]


def test_weights_of_the_blur() -> None:
    weights = bell(1.5)
    assert len(weights) == 13 and sum(weights) == pytest.approx(1)
    # a pixel and three pixels off, in units of the middle one: exp(-(1 / 1.5)^2 / 2), exp(-2)
    assert weights[7] / weights[6] == pytest.approx(exp(-2 / 9))
    assert weights[3] / weights[6] == weights[9] / weights[6] == pytest.approx(exp(-2))


def test_a_dot_is_blurred_into_a_bell() -> None:
    image = Image.new("RGB", (21, 17))
    image.putpixel((10, 8), (255, 0, 0))
    found, weights = pixels(blurred(image, 2.0)), bell(2.0)
    for x, y in ((0, 0), (2, 0), (0, 3), (-4, 1)):
        expected = 255 * weights[6 + x] * weights[6 + y]
        assert found[8 + y, 10 + x].tolist() == [round(expected), 0, 0]
    even = Image.new("RGB", (7, 8), (50, 60, 70))
    assert np.array_equal(pixels(blurred(even, 1.7)), pixels(even))  # at the edges, too
    assert transformed(even, "gaussian_blur", draw := Fixed()) and draw.ranges == [(1.5, 2.0)]


def test_edges_are_mirrored() -> None:
    row = Image.new("RGB", (13, 13))
    for y in range(13):
        row.putpixel((0, y), (200, 0, 0))  # which stands once at the edge, and is not repeated
    weights = bell(1.5)
    found = pixels(blurred(row, 1.5))[6, :3, 0].tolist()
    assert found == [round(200 * weights[6 - x]) for x in range(3)]


def test_the_part_that_is_cut_out() -> None:
    # a quarter of 100 x 80 = 2000, square: 44.7 on each side; left of 0 to 55, top of 0 to 35
    draw = Fixed(0.25, 0.0, 7, 11)
    assert cut(100, 80, draw) == (7, 11, 7 + 45, 11 + 45)
    assert draw.ranges == [(0.08, 1.0), (-0.2877, 0.2877), (0, 55), (0, 35)]
    # half of it, 4000, in shape 4:3: the roots of 5333 and 3000
    assert cut(100, 80, Fixed(0.5, 0.28768, 0, 0)) == (0, 0, 73, 55)
    # the tenth draw still counts
    assert cut(100, 100, Fixed(*[1.0, 0.2877] * 9, 0.25, 0.0, 7, 11)) == (7, 11, 57, 61)
    # all of a 100 x 100 image in shape 4:3 does not fit, ten times; then the whole of it
    assert cut(100, 100, Fixed(*[1.0, 0.2877] * 10)) == (0, 0, 100, 100)
    # of a strip the middle in the widest shape that is allowed: 4 / 3 of 30
    assert cut(300, 30, Fixed(*[1.0, 0.0] * 10)) == (130, 0, 170, 30)
    assert cut(30, 300, Fixed(*[1.0, 0.0] * 10)) == (0, 130, 30, 170)


def test_a_crop_is_of_llavas_size_and_shows_a_part() -> None:
    image = Image.new("RGB", (100, 80))
    image.paste((255, 255, 255), (20, 20, 65, 65))
    found = cropped(image, Fixed(0.25, 0.0, 20, 20))  # 45 x 45 pixels, all of them white
    assert found.size == (336, 336) and pixels(found).min() == 255
    assert all(transformed(image, name, Random(1)).mode == "RGB" for name in NAMES)


def test_all_transforms_are_drawn() -> None:
    image = picture(2, 16, 16)
    plain = {name: pixels(transformed(image, name, Random(0))).tobytes() for name in NAMES[:2]}
    found: Counter[str] = Counter()
    for seed in range(300):
        made = drawn(image, seed)
        same = [name for name, flipped in plain.items() if pixels(made).tobytes() == flipped]
        found[same[0] if same else "crop" if made.size == (336, 336) else "other"] += 1
    assert found["other"] == pytest.approx(150, abs=35)
    assert all(found[name] == pytest.approx(50, abs=25) for name in (*NAMES[:2], "crop"))
    assert pixels(drawn(image, 5)).tobytes() == pixels(drawn(image, 5)).tobytes()
    assert pixels(drawn(image, 5, "vertical_flip")).tobytes() == plain["vertical_flip"]


def two_about_one(model: VisionLanguageModel, **changes: Any) -> Batch:
    batch = batch_of_questions(QUESTIONS, [picture(0)] * 2, ["a", "b"])
    return encoded(model, replace(batch, **changes))


def given(model: VisionLanguageModel, batch: Batch, **params: Any) -> list[Any]:
    """The images of the other stream, as the processor gives them."""
    inputs = prepared("ritual", model, **params).streams(batch, model)["transformed"]
    return [image["pixel_values"] for image in model.image_inputs(inputs)]


def test_questions_about_one_image_share_its_transform() -> None:
    model = llava()
    batch = two_about_one(model)
    first, second = given(model, batch)
    assert torch.equal(first, second)
    assert torch.equal(first, given(model, two_about_one(model, ids=["c", "d"]))[0])
    seeds = [given(model, two_about_one(model, seed=seed))[0] for seed in range(6)]
    assert any(not torch.equal(first, other) for other in seeds)
    made = drawn(picture(0), batch.image_seeds[0])
    assert torch.equal(first, model.encode(batch.rendered[:1], [made])["pixel_values"])


def test_the_code_draws_once_a_question() -> None:
    model = llava()
    batch = two_about_one(model)
    first, second = given(model, batch, variant="official_code")
    assert not torch.equal(first, second)
    made = drawn(picture(0), batch.seeds[1])
    assert torch.equal(second, model.encode(batch.rendered[:1], [made])["pixel_values"])


def test_pictures_are_transformed_before_the_processor() -> None:
    model = build("qwen2_5_vl")
    batch = two_about_one(model)
    flipped = picture(0).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    (first, _) = given(model, batch, transform="horizontal_flip")
    assert torch.equal(first, model.encode(batch.rendered[:1], [flipped])["pixel_values"])


def test_defaults() -> None:
    for variant in ("paper", "official_code"):
        params = RITUAL.resolve(RITUAL.Params(variant=variant), llava())
        assert params.model_dump() == {
            "variant": variant, "alpha": 3.0, "beta": 0.1, "transform": None,
        }  # fmt: skip


def test_the_sum_by_hand() -> None:
    main, other = torch.tensor([[2.0, 1.0, -0.5]]), torch.tensor([[1.0, 2.0, 9.0]])
    # l + 3 l'; the cut is at 2 + log .1 = -.303 of the image's own logits
    found = combined(RITUAL(RITUAL.Params()), main=main, transformed=other)
    assert found.tolist() == [[5.0, 7.0, float("-inf")]]
