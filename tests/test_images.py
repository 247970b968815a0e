"""Images as they lie about: each becomes RGB or says why it cannot, and fails its sample alone."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from halluc.config import DecodingConfig
from halluc.data.image_folder import ImageFolder
from halluc.decoding import answer_samples
from halluc.errors import UserError
from halluc.images import MAX_PIXELS, BadImage, as_rgb, open_image, padded
from halluc.methods.baseline import Baseline
from halluc.types import Sample
from tests.kit.families import llava, picture

RED = (255, 0, 0)


def saved(image: Image.Image, kind: str = "PNG", **how: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def red(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), RED)


def bomb() -> bytes:
    """A small file of 90 million pixels."""
    return saved(Image.new("1", (MAX_PIXELS // 8192 + 1, 8192)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"<html>404 Not Found</html>", "not an image that Pillow can read"),
        (saved(picture(0))[:-100], "[Tt]runcated"),
        (saved(picture(0), "JPEG")[:-100], "[Tt]runcated"),
        (saved(picture(0))[:20], "[Tt]runcated"),
        (bomb(), "10923 x 8192 pixels; at most 89478485 are read"),
        (saved(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "floating-point pixels"),
    ],
    ids=["empty", "html", "truncated-png", "truncated-jpeg", "header-alone", "bomb", "float"],
)
def test_what_is_no_image_is_named(content: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(BadImage, match=reason) as refused:
        open_image(content, "cat.png")
    assert str(refused.value).startswith("cat.png: ")
    assert "\n" not in str(refused.value)
    (tmp_path / "cat.png").write_bytes(content)
    with pytest.raises(BadImage, match=rf"^cat.png: .*{reason}"):
        ImageFolder(tmp_path).open("cat.png")


def test_a_larger_bomb_is_refused_by_pillow_without_a_warning(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(BadImage, match="decompression bomb"):
        open_image(saved(red(20, 20)))
    assert open_image(saved(red(11, 10))).size == (11, 10)  # between once and twice it only warns
    assert not recwarn.list


@pytest.mark.parametrize(
    ("content", "colour"),
    [
        (saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"), RED),
        (saved(red(8, 8).quantize(4)), RED),
        (saved(Image.new("RGBA", (8, 8), (*RED, 0))), RED),
        (saved(Image.new("LA", (8, 8), (7, 0))), (7, 7, 7)),
        (saved(Image.new("L", (8, 8), 7)), (7, 7, 7)),
        (saved(Image.new("1", (8, 8), 1)), (255, 255, 255)),
        (saved(Image.fromarray(np.full((8, 8), 128 * 256, np.uint16))), (128, 128, 128)),
        (saved(Image.fromarray(np.full((8, 8), 128 * 256, np.int32)), "TIFF"), (128, 128, 128)),
        (saved(red(1, 1)), RED),
        (saved(red(8, 8), "GIF"), RED),
    ],
    ids=["cmyk", "palette", "rgba", "la", "l", "1", "16-bit", "32-bit", "1x1", "gif"],
)
def test_every_mode_becomes_rgb(content: bytes, colour: tuple[int, ...]) -> None:
    image = open_image(content)
    assert image.mode == "RGB"
    assert image.getpixel((0, 0)) == colour


def test_16_bits_keep_their_shades() -> None:
    shades = np.arange(256, dtype=np.uint16)[None] * 257
    assert np.asarray(open_image(saved(Image.fromarray(shades))))[0, :, 0].tolist() == [*range(256)]


def test_images_are_turned_as_exif_says() -> None:
    wide = red(2, 1)
    wide.putpixel((0, 0), (0, 0, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera held upright: turn by 90 degrees clockwise to see it
    tall = open_image(saved(wide, exif=exif))
    assert tall.size == (1, 2)
    assert [tall.getpixel((0, y)) for y in range(2)] == [(0, 0, 255), RED]


def test_rgb_is_left_alone() -> None:
    image = picture(0)
    assert as_rgb(image) is image
    assert np.array_equal(np.asarray(open_image(saved(image))), np.asarray(image))


def test_padding_to_a_square_by_hand() -> None:
    wide = padded(red(4, 1), (0.5, 0.25, 0.0))
    assert wide.size == (4, 4)
    assert [wide.getpixel((0, y)) for y in range(4)] == [(127, 63, 0), RED, *[(127, 63, 0)] * 2]
    assert padded(red(1, 4), (0, 0, 0)).getpixel((1, 3)) == RED
    assert np.array_equal(np.asarray(padded(picture(0), (1, 1, 1))), np.asarray(picture(0)))


@pytest.mark.parametrize("size", [(1, 1), (3, 8), (8, 3), (1, 500)])
def test_odd_sizes_are_read_the_right_way_up(size: tuple[int, int]) -> None:
    """Three rows or columns are not taken for colours."""
    model = llava()
    pixels = model.encode([model.render("is there a dog ?")], [red(*size)])["pixel_values"]
    expected = model.encode([model.render("is there a dog ?")], [red(32, 32)])["pixel_values"]
    assert (pixels - expected).abs().max() < 1e-4


def test_bad_images_fail_their_samples_alone(tmp_path: Path) -> None:
    files = {
        "good.png": saved(picture(0)),
        "cmyk.tiff": saved(Image.new("CMYK", (40, 30), (0, 255, 255, 0)), "TIFF"),
        "empty.png": b"",
        "text.png": b"not found",
        "cut.png": saved(picture(0))[:-100],
        "bomb.png": bomb(),
        "dot.png": saved(red(1, 1)),
    }
    samples = []
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        samples.append(Sample(name, name, "is there a dog ?", partial(open_image, tmp_path / name)))
    baseline = Baseline(Baseline.Params())
    answers = list(answer_samples(llava(), baseline, samples, DecodingConfig(), 7))
    status = {answer.id: answer.status for answer in answers}
    failed = {"empty.png", "text.png", "cut.png", "bomb.png"}
    assert {name for name, one in status.items() if one == "failed"} == failed
    errors = {answer.id: answer.error for answer in answers if answer.error}
    assert errors["empty.png"] == "BadImage: empty.png: the file is empty"
    assert errors["text.png"] == "BadImage: text.png: not an image that Pillow can read"


def test_a_missing_image_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"image 'cat.png' is not below"):
        ImageFolder(tmp_path).open("cat.png")
