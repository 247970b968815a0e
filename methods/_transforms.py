"""Random transforms of images as torchvision has them, of PIL and numpy alone."""

from __future__ import annotations

from math import exp, log, sqrt
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from random import Random

    from PIL.Image import Image

Transform = Literal[
    "horizontal_flip", "vertical_flip", "rotation", "color_jitter", "gaussian_blur", "crop"
]

_RADIUS = 6
_SIDE = 336


def transformed(image: Image, name: Transform, draw: Random) -> Image:
    """Transform an image in one of six ways (RITUAL: eval_bench/pope_eval_llava.py:185).

    Flip; rotate by up to 180 degrees either way, black where nothing was; give brightness, contrast
    and saturation 0 to 2 times their strength and turn hues by up to half a circle; blur, sigma
    1.5 to 2 pixels; cut out 8% to 100% of the area.

    Args:
        image: RGB.
        draw: Draws what is random.
    """
    from PIL import ImageOps

    match name:
        case "horizontal_flip":
            return ImageOps.mirror(image)
        case "vertical_flip":
            return ImageOps.flip(image)
        case "rotation":
            return image.rotate(draw.uniform(-180, 180))
        case "color_jitter":
            return jittered(image, draw)
        case "gaussian_blur":
            return blurred(image, draw.uniform(1.5, 2.0))
    return cropped(image, draw)


def jittered(image: Image, draw: Random) -> Image:
    """Change brightness, contrast, saturation and hue, one after the other in any order."""
    from PIL import ImageEnhance

    changes = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color, None]
    draw.shuffle(changes)
    for change in changes:
        if change is None:
            image = turned(image, draw.uniform(-0.5, 0.5))
        else:
            image = change(image).enhance(draw.uniform(0, 2))
    return image


def turned(image: Image, share: float) -> Image:
    """Turn hues by a share of the circle, in steps of 1/256 of it."""
    from PIL.Image import merge

    hue, *others = image.convert("HSV").split()
    step = int(share * 255)
    moved = hue.point([(value + step) % 256 for value in range(256)])
    return merge("HSV", [moved, *others]).convert(image.mode)


def bell(sigma: float) -> list[float]:
    """Give 13 weights of a Gaussian around the middle one, which sum to 1.

    Args:
        sigma: In pixels.
    """
    weights = [exp(-((x / sigma) ** 2) / 2) for x in range(-_RADIUS, _RADIUS + 1)]
    return [weight / sum(weights) for weight in weights]


def blurred(image: Image, sigma: float) -> Image:
    """Blur 13 x 13 pixels, mirrored at the edges.

    Args:
        sigma: In pixels.
    """
    import numpy as np
    from PIL.Image import fromarray

    pixels = np.asarray(image, dtype=np.float64)
    for axis in (0, 1):
        room = [(_RADIUS, _RADIUS) if a == axis else (0, 0) for a in range(pixels.ndim)]
        wide, length = np.pad(pixels, room, mode="reflect"), pixels.shape[axis]
        pixels = np.zeros_like(pixels)
        for start, weight in enumerate(bell(sigma)):
            pixels += weight * wide.take(range(start, start + length), axis)
    return fromarray(pixels.round().clip(0, 255).astype(np.uint8))


def cut(width: int, height: int, draw: Random) -> tuple[int, int, int, int]:
    """Draw a part of an image: 8% to 100% of its area, 3:4 to 4:3 wide, anywhere.

    Ten draws that do not fit leave the largest part in the middle of a shape that is allowed.

    Returns:
        Left, top, right, bottom, in pixels.
    """
    for _ in range(10):
        area = width * height * draw.uniform(0.08, 1.0)
        shape = exp(draw.uniform(log(3 / 4), log(4 / 3)))
        across, down = round(sqrt(area * shape)), round(sqrt(area / shape))
        if 0 < across <= width and 0 < down <= height:
            left, top = draw.randint(0, width - across), draw.randint(0, height - down)
            return left, top, left + across, top + down
    across, down = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    left, top = (width - across) // 2, (height - down) // 2
    return left, top, left + across, top + down


def cropped(image: Image, draw: Random) -> Image:
    """Cut a part out of an image and make it 336 x 336 pixels large."""
    from PIL.Image import Resampling

    box = cut(image.width, image.height, draw)
    return image.crop(box).resize((_SIDE, _SIDE), Resampling.BILINEAR)
