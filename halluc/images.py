"""Images of any kind as 8-bit RGB, or the reason why one cannot be read."""

from __future__ import annotations

import hashlib
import io
import os
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from halluc.errors import UserError
from halluc.plain_text import printable
from halluc.validation import shown

MAX_PIXELS = 89_478_485
"""The most pixels an image may have; the environment variable HALLUC_MAX_PIXELS replaces it."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""The formats that are read, MPO as JPEG; Pillow hands some others to programs of the machine."""


class BadImage(ValueError):
    """An image that cannot be used; it fails its sample."""


def open_image(source: Path | bytes, name: str = "") -> Image.Image:
    """Open an image as RGB, turned as its EXIF orientation says; transparency is dropped.

    Args:
        source: A file, or its content.
        name: What to call it in errors; the file's name by default.

    Raises:
        BadImage: If it is not an image, is cut short, or has too many pixels.
        UserError: If HALLUC_MAX_PIXELS is not a number of pixels.
    """
    name = printable(name or (source.name if isinstance(source, Path) else "image"))
    most = max_pixels()
    try:
        content = source.read_bytes() if isinstance(source, Path) else source
        if not content:
            raise BadImage("the file is empty")
        image = _undecoded(content)
        if image.width * image.height > most:
            raise BadImage(
                f"{image.width} x {image.height} pixels; at most {most} are read, or as many as "
                f"the environment variable HALLUC_MAX_PIXELS says"
            )
        return as_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # decoders raise whatever a broken file makes them
        reason = (str(error) or type(error).__name__).strip().split("\n", 1)[0]
        raise BadImage(f"{name}: {printable(reason)}") from error


def max_pixels() -> int:
    """Return how many pixels an image may have.

    Raises:
        UserError: If HALLUC_MAX_PIXELS is not a number of pixels.
    """
    text = os.environ.get("HALLUC_MAX_PIXELS", "")
    if not text:
        return MAX_PIXELS
    if not (text.isdecimal() and len(text) < 20 and int(text)):
        raise UserError(
            f"HALLUC_MAX_PIXELS is {shown(text)}: write a whole number, as in {2 * MAX_PIXELS}"
        )
    return int(text)


def _undecoded(content: bytes) -> Image.Image:
    """Read an image's header, by Pillow's reader of its format.

    `Image.open` does the same but for its own limit of pixels, which no argument can raise.
    """
    Image.init()
    for name in FORMATS:
        reader, accepts = Image.OPEN[name]
        taken = accepts is None or accepts(content[:16])
        if taken and not isinstance(taken, str):  # a text says why the format cannot be read
            try:
                return reader(io.BytesIO(content), "")
            except (SyntaxError, IndexError, TypeError, struct.error):
                continue
    raise BadImage("not an image in JPEG, PNG, WebP, GIF, BMP or TIFF")


def as_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to 8-bit RGB; greyscale of 16 bits is scaled, not clipped as Pillow does.

    Raises:
        BadImage: If its pixels are floating-point numbers, whose range is not known.
    """
    if image.mode == "RGB":
        return image
    if image.mode == "F":
        raise BadImage("floating-point pixels; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        pixels = np.asarray(image)
        image = Image.fromarray((pixels.clip(0, 65535) >> 8).astype(np.uint8))
    return image.convert("RGB")


def image_hash(image: Image.Image) -> str:
    """Return ten hex digits of the SHA-256 of the pixels."""
    return hashlib.sha256(image.tobytes()).hexdigest()[:10]


def padded(image: Image.Image, mean: tuple[float, ...]) -> Image.Image:
    """Put an image in the middle of a square of its longer side, as LLaVA-1.5 does.

    Args:
        mean: The colour around it, 0 to 1 for each of red, green and blue.
    """
    side = max(image.size)
    red, green, blue = (int(255 * value) for value in mean)
    square = Image.new("RGB", (side, side), (red, green, blue))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square
