"""Images as a program gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from halluc.errors import UserError
from halluc.python_api.images_given import opened

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


@pytest.mark.parametrize("kind", ["path", "text", "pillow", "array"])
def test_all_kinds_hold_the_same_pixels(kind: str, tmp_path: Path) -> None:
    image, file = Image.fromarray(PIXELS), tmp_path / "image.png"
    image.save(file)
    given = {"path": file, "text": str(file), "pillow": image, "array": PIXELS}[kind]
    assert np.array_equal(np.asarray(opened(given)), PIXELS)


def test_transparency_is_dropped_and_grey_is_made_rgb() -> None:
    opaque = np.dstack([PIXELS, np.zeros((2, 3), np.uint8)])
    assert np.array_equal(np.asarray(opened(opaque)), PIXELS)
    grey = PIXELS[:, :, 0]
    assert np.array_equal(np.asarray(opened(grey)), np.dstack([grey] * 3))


def test_images_are_turned_as_exif_says(tmp_path: Path) -> None:
    image = Image.fromarray(PIXELS)
    image.getexif()[0x0112] = 6  # turned by a quarter: two rows of three become three of two
    assert opened(image).size == (2, 3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nowhere.png", "image 'nowhere.png': there is no such file"),
        (PIXELS / 255, r"image of float64 \[2, 3, 3\]: an array holds whole numbers 0 to 255"),
        (PIXELS.transpose(2, 0, 1)[:, :, :2], r"image of uint8 \[3, 2, 2\]"),
        (PIXELS[:0], r"image of uint8 \[0, 3, 3\]"),
        (None, "give a file, an image of Pillow, or an array"),
        (["a", "b"], "give a file, an image of Pillow, or an array"),
    ],
)
def test_what_is_not_an_image_is_said_in_one_line(given: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        opened(given)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"image broken.png: not an image in JPEG"):
        opened(tmp_path / "broken.png")
