"""Images as they lie about: each becomes RGB or says why it cannot, and fails its sample alone."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image

from halluc.config import DecodingConfig
from halluc.data.image_folder import ImageFolder
from halluc.decoding import answer_samples
from halluc.errors import UserError
from halluc.images import MAX_PIXELS, BadImage, as_rgb, open_image, padded
from halluc.methods.baseline import Baseline
from halluc.types import Sample
from tests.kit.any_file import FEW, damaged
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
        (b"<html>404 Not Found</html>", "not an image in JPEG, PNG, WebP, GIF, BMP or TIFF"),
        (saved(picture(0), "EPS"), "not an image in JPEG"),
        (saved(picture(0), "PDF"), "not an image in JPEG"),
        (saved(picture(0), "TGA"), "not an image in JPEG"),
        (saved(picture(0))[:-100], "[Tt]runcated"),
        (saved(picture(0), "JPEG")[:-100], "[Tt]runcated"),
        (saved(picture(0))[:20], "[Tt]runcated"),
        (bomb(), "10923 x 8192 pixels; at most 89478485 are read"),
        (saved(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "floating-point pixels"),
    ],
    ids=[
        "empty",
        "html",
        "eps",
        "pdf",
        "tga",
        "truncated-png",
        "truncated-jpeg",
        "header-alone",
        "bomb",
        "float",
    ],
)
def test_what_is_no_image_is_named(content: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(BadImage, match=reason) as refused:
        open_image(content, "cat.png")
    assert str(refused.value).startswith("cat.png: ")
    assert "\n" not in str(refused.value)
    (tmp_path / "cat.png").write_bytes(content)
    with pytest.raises(BadImage, match=rf"^cat.png: .*{reason}"):
        ImageFolder(tmp_path).open("cat.png")


def test_the_limit_is_ours_and_can_be_set(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # above twice of it Pillow's open refuses
    assert open_image(saved(red(20, 20))).size == (20, 20)
    monkeypatch.setenv("HALLUC_MAX_PIXELS", "399")
    with pytest.raises(BadImage, match=r"20 x 20 pixels; at most 399 are read.*HALLUC_MAX_PIXELS"):
        open_image(saved(red(20, 20)))
    monkeypatch.setenv("HALLUC_MAX_PIXELS", "400")
    assert open_image(saved(red(20, 20))).size == (20, 20)
    assert not recwarn.list


@pytest.mark.parametrize("value", ["many", "0", "-1", "1e9", "9" * 5000])
def test_a_limit_that_is_no_number_of_pixels(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLUC_MAX_PIXELS", value)
    with pytest.raises(UserError, match=r"HALLUC_MAX_PIXELS is '.*': write a whole number"):
        open_image(saved(red(2, 2)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "MPO"])
def test_the_formats_that_are_read(kind: str) -> None:
    assert open_image(saved(red(4, 3), kind)).size == (4, 3)


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_any_file_is_an_image_or_a_bad_one(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLUC_MAX_PIXELS", "100000")

    @settings(max_examples=FEW, derandomize=True, deadline=None, database=None)
    @given(damaged(saved(picture(0), kind), "text"))
    def check(content: bytes) -> None:
        try:
            assert open_image(content).mode == "RGB"
        except BadImage as error:
            said = str(error)
        else:
            return
        assert said.startswith("image: ") and said.isprintable()

    check()


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
    assert errors["text.png"].startswith("BadImage: text.png: not an image in JPEG, PNG")


def test_a_missing_image_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"image 'cat.png' is not below"):
        ImageFolder(tmp_path).open("cat.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of images beside a private one."""
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    (tmp_path / "private.png").write_bytes(saved(red(1, 1)))
    (folder / "deep/inside.png").write_bytes(saved(red(1, 1)))
    return folder


@pytest.mark.parametrize(
    "name", ["../private.png", "deep/../../private.png", "..", ".", "", "a/.."]
)
def test_names_do_not_lead_out_of_the_folder(folder: Path, name: str) -> None:
    images = ImageFolder(folder)
    with pytest.raises(UserError, match=r"line 3: image '.*' is not below .*images$"):
        images.find(name, "line 3")
    assert not images.has(name)


def test_absolute_names_are_refused(folder: Path) -> None:
    for path in (folder.parent / "private.png", folder / "deep/inside.png"):
        with pytest.raises(UserError, match="is not below"):
            ImageFolder(folder).open(str(path))


def test_links_do_not_lead_out_of_the_folder(folder: Path) -> None:
    (folder / "out.png").symlink_to(folder.parent / "private.png")
    (folder / "up").symlink_to(folder.parent)
    (folder / "within.png").symlink_to(folder / "deep/inside.png")
    images = ImageFolder(folder)
    for name in ("out.png", "up/private.png"):
        with pytest.raises(UserError, match=f"image '{name}' is a link out of .*images; put the"):
            images.open(name)
    assert images.open("within.png").size == (1, 1)
    (folder.parent / "linked").symlink_to(folder)  # the folder itself may be a link
    assert ImageFolder(folder.parent / "linked").open("inside.png").size == (1, 1)


def test_a_snapshot_of_the_hub_is_links_into_its_cache(tmp_path: Path) -> None:
    (tmp_path / "repo/blobs").mkdir(parents=True)
    snapshot = tmp_path / "repo/snapshots/0123/images"
    snapshot.mkdir(parents=True)
    (tmp_path / "repo/blobs/ab").write_bytes(saved(red(1, 1)))
    (tmp_path / "private.png").write_bytes(saved(red(1, 1)))
    (snapshot / "1.png").symlink_to("../../../blobs/ab")
    (snapshot / "2.png").symlink_to(tmp_path / "private.png")
    assert ImageFolder(snapshot.parent).open("1.png").size == (1, 1)
    with pytest.raises(UserError, match="a link out of"):
        ImageFolder(snapshot.parent).open("2.png")


@pytest.mark.parametrize("name", ["x" * 5000 + ".png", "a\nb.png", "a\x00.png", "\ud83d.png"])
def test_names_that_no_file_can_have_are_one_line(folder: Path, name: str) -> None:
    with pytest.raises(UserError, match="is not below") as refused:
        ImageFolder(folder).find(name)
    assert len(str(refused.value)) < 1000 and "\n" not in str(refused.value)
