"""A marked square changes the tokens whose places it touches, and no others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from halluc.attend.boxes import clipped, grid_of, visible_box
from halluc.attend.geometry import Places, places
from halluc.errors import UserError
from halluc.models import VisionLanguageModel
from tests.kit.families import build, picture

Mark = tuple[int, int, int, int]

TILED = {
    "llava_next": [(64, 64), (96, 48), (57, 101), (130, 40)],
    "llava_onevision": [(64, 64), (96, 48), (57, 101), (130, 40)],
    "internvl": [(32, 32), (64, 64), (96, 48), (48, 130)],
    "aya_vision": [(32, 32), (96, 48), (48, 96)],
    "cohere2_vision": [(64, 64), (96, 48), (48, 96)],
    "ovis2": [(32, 32), (64, 64), (130, 60)],
    "idefics3": [(32, 32), (96, 48), (57, 101)],
    "smolvlm": [(64, 64), (96, 48), (57, 101)],
}
WHOLE = {
    "llava": [(32, 32), (96, 48), (57, 101)],
    "vipllava": [(64, 40)],
    "gemma3": [(64, 40)],
    "paligemma": [(96, 48)],
    "paligemma2": [(48, 96)],
    "qwen2_vl": [(64, 64), (96, 48), (57, 101)],
    "qwen2_5_vl": [(64, 64), (96, 48), (57, 101)],
    "qwen3_vl": [(96, 48)],
    "qwen3_vl_moe": [(48, 96)],
    "qwen3_5": [(96, 48)],
    "glm4v": [(96, 48), (57, 101)],
    "mistral3": [(64, 64), (96, 48), (57, 101)],
    "lfm2_vl": [(32, 32), (96, 48)],
}
CASES = [(name, size) for name, sizes in (TILED | WHOLE).items() for size in sizes]


def nearsighted(name: str) -> VisionLanguageModel:
    """A tiny model in whose vision tower no patch sees another: its attention adds nothing."""
    model = build(name)
    with torch.no_grad():
        for module in model.tower.attention_modules:
            for parameter in module.parameters():
                parameter.zero_()
    return model


def features(model: VisionLanguageModel, image: Image.Image) -> torch.Tensor:
    """What image tokens stand for [n, D]."""
    inputs = model.encode([model.render("is there a dog ?")], [image])
    with torch.no_grad():
        found = model.encode_images(inputs).pooler_output
    return torch.cat([one.flatten(0, -2) for one in found]).float()


def changed(model: VisionLanguageModel, image: Image.Image, mark: Mark) -> NDArray[np.float32]:
    """How much each image token changes where a square is drawn [n], at most 1."""
    marked = image.copy()
    left, top, right, bottom = mark
    ImageDraw.Draw(marked).rectangle((left, top, right - 1, bottom - 1), fill="white")
    gap = (features(model, marked) - features(model, image)).norm(dim=1)
    relative: NDArray[np.float32] = (gap / gap.max().clamp(min=1e-9)).numpy()
    return relative


def touched(found: Places, mark: Mark, margin: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tokens whose rectangle, moved out by a margin, overlaps a square."""
    left, top, right, bottom = (found.boxes + margin[:, None] * [-1, -1, 1, 1]).T
    hit: NDArray[np.bool_] = (left < mark[2]) & (right > mark[0])
    hit &= (top < mark[3]) & (bottom > mark[1])
    return hit


def marks(size: tuple[int, int], seed: int = 0) -> list[Mark]:
    """A few squares of about a sixth of the image's shorter side."""
    rng, side = np.random.default_rng(seed), max(6, min(size) // 6)
    places = [(rng.integers(size[0] - side + 1), rng.integers(size[1] - side + 1)) for _ in "1234"]
    return [(int(x), int(y), int(x) + side, int(y) + side) for x, y in places]


def holds(model: VisionLanguageModel, size: tuple[int, int], blur: float = 1.0) -> int:
    """Check the rule for a few squares; return how many tokens a square surely touched.

    Resizing blurs a square's edge by up to two pixels of what is resized, so tokens whose edge is
    as near as that may change or not.
    """
    image, sure = picture(1, *size), 0
    inputs = model.encode([model.render("is there a dog ?")], [image])
    found = places(model, image, inputs)
    side = np.nan_to_num(found.boxes[:, 2:] - found.boxes[:, :2]).max(1)
    near, nowhere = blur * np.maximum(3.0, side**0.5), side == 0
    for mark in marks(size):
        change = changed(model, image, mark)
        assert len(change) == len(found.boxes)
        outside, inside = ~touched(found, mark, near), touched(found, mark, -near / 3)
        assert not (change[nowhere] > 0.5).any()  # padding next to the image is blurred, too
        outside &= ~nowhere
        assert not (change[outside] > 1e-3).any(), (mark, np.flatnonzero(outside & (change > 1e-3)))
        assert (change[inside] > 1e-3).all(), (mark, np.flatnonzero(inside & (change <= 1e-3)))
        sure += int(inside.sum())
    return sure


@pytest.mark.parametrize(("name", "size"), CASES)
def test_a_square_changes_the_tokens_it_touches(name: str, size: tuple[int, int]) -> None:
    assert holds(nearsighted(name), size) > 0


@pytest.mark.parametrize("name", ["llava", "paligemma"])
def test_an_image_padded_to_a_square(name: str) -> None:
    model = replace(nearsighted(name), image_aspect="pad")
    assert holds(model, (96, 48)) > 0
    image = picture(1, 96, 48)
    found = places(model, image, model.encode([model.render("is there")], [image]))
    # A square of 96 with the image at 24 to 72: of 4 rows of 24, the first and last are margin.
    assert np.isnan(found.boxes[:4]).all() and np.isnan(found.boxes[12:]).all()
    assert found.boxes[4].tolist() == [0, 0, 24, 24]


def test_a_large_grid_that_is_thinned_out() -> None:
    model = nearsighted("llava_onevision")
    model.model.config.vision_aspect_ratio = "anyres_max_1"
    model.processor.vision_aspect_ratio = "anyres_max_1"
    # 2 x 2 tiles of 4 x 4: ratio sqrt(64 / 16) = 2, so 4 x 4 tokens are left, of 16 pixels each.
    image = picture(1, 64, 64)
    found = places(model, image, model.encode([model.render("is there")], [image]))
    assert len(found.boxes) == 16 + 4 * 5
    assert found.boxes[16].tolist() == [0, 0, 16, 16]
    assert holds(model, (64, 64), blur=2.0) > 0


def test_new_lines_have_no_place() -> None:
    model, image = build("llava_next"), picture(1, 96, 48)
    found = places(model, image, model.encode([model.render("is there")], [image]))
    lines: NDArray[np.bool_] = np.isnan(found.boxes[16:, 0])
    assert lines.sum() == 4 and lines[8::9].all()  # 4 lines of 8 patches
    assert found.tiles == 3


def test_a_crop_is_taken_from_the_middle() -> None:
    processor = build("llava").processor.image_processor
    # The shorter side becomes 32, so 96 x 48 becomes 64 x 32, of which the middle 32 are left.
    assert visible_box(processor, (96, 48)) == (24, 0, 72, 48)
    assert visible_box(processor, (48, 96)) == (0, 24, 48, 72)


def test_boxes_are_cut_at_the_edges() -> None:
    boxes = grid_of((-10.0, 0.0, 30.0, 20.0), 1, 4)
    cut = clipped(boxes, (15, 10))
    assert np.isnan(cut[0]).all() and np.isnan(cut[3]).all()
    assert cut[1:3].tolist() == [[0, 0, 10, 10], [10, 0, 15, 10]]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("blip_2", "learned queries"), ("idefics2", "learned queries"), ("mllama", "layers of their")],
)
def test_tokens_without_a_place_are_refused(name: str, reason: str) -> None:
    model, image = build(name), picture(1)
    with pytest.raises(UserError, match=reason):
        places(model, image, model.encode([model.render("is there")], [image]))


def test_an_unknown_family_is_refused() -> None:
    model, image = build("llava"), picture(1)
    inputs = model.encode([model.render("is there")], [image])
    type(model.model.config).model_type = "novel"
    try:
        with pytest.raises(UserError, match="is not known; families it is known of"):
            places(replace(model), image, inputs)
    finally:
        type(model.model.config).model_type = "llava"
