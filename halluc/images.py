"""Images of any kind as 8-bit RGB, or the reason why one cannot be read."""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 89_478_485  # above this Pillow itself warns of a decompression bomb


class BadImage(ValueError):
    """An image that cannot be used; it fails its sample."""


def open_image(source: Path | bytes, name: str = "") -> Image.Image:
    """Open an image as RGB, turned as its EXIF orientation says; transparency is dropped.

    Args:
        source: A file, or its content.
        name: What to call it in errors; the file's name by default.

    Raises:
        BadImage: If it is not an image, is cut short, or has too many pixels.
    """
    name = name or (source.name if isinstance(source, Path) else "image")
    try:
        content = source.read_bytes() if isinstance(source, Path) else source
        if not content:
            raise BadImage("the file is empty")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content))
        if image.width * image.height > MAX_PIXELS:
            raise BadImage(f"{image.width} x {image.height} pixels; at most {MAX_PIXELS} are read")
        return as_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        raise BadImage(f"{name}: not an image that Pillow can read") from None
    except Exception as error:  # decoders raise whatever a broken file makes them
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise BadImage(f"{name}: {reason}") from error


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
