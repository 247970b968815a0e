"""From a scene to its pixels: background, things from back to front, clutter, blur, haze, noise."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from halluc.world.backgrounds import SIDE, background
from halluc.world.catalog import COLOURS
from halluc.world.icons import icon
from halluc.world.scenes import Scene, Thing, generator

BLUR_ODDS = 0.35
"""Share of pictures that are out of focus."""
HAZE_ODDS = 0.30
"""Share of pictures whose contrast is reduced."""


def render(scene: Scene, more_clutter: int = 0) -> Image.Image:
    """Draw a scene: an RGB picture, 128 by 128 pixels, the same every time.

    Args:
        more_clutter: Further blobs behind the things. They come from a seed of their own, so that
            all else stays the same.
    """
    rng = generator("render", scene.split, scene.index)
    picture = background(scene.theme, rng)
    _clutter(picture, rng, rng.randint(3, 9))
    _clutter(picture, generator("more clutter", scene.split, scene.index), more_clutter)
    for thing in scene.things:
        _paste(picture, thing)
    _clutter(picture, rng, rng.randint(0, 4))
    if rng.random() < BLUR_ODDS:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.1)))
    return _develop(picture, rng)


def _paste(picture: Image.Image, thing: Thing) -> None:
    left, top, wide, high = thing.place
    stamp = icon(thing.category, thing.colour, thing.flipped).resize((wide, high))
    alpha = stamp.getchannel("A")
    if thing.opacity < 1:
        alpha = alpha.point([round(value * thing.opacity) for value in range(256)])
    picture.paste(stamp.convert("RGB"), (left, top), alpha)


def _clutter(picture: Image.Image, rng: random.Random, count: int) -> None:
    """Strew blobs in the icons' colours, so that a patch of colour alone proves nothing."""
    draw = ImageDraw.Draw(picture, "RGBA")
    for _ in range(count):
        x, y = rng.uniform(0, SIDE), rng.uniform(SIDE * 0.2, SIDE)
        wide, high = rng.uniform(2, 11), rng.uniform(2, 11)
        red, green, blue = rng.choice(tuple(COLOURS.values()))
        fill = (red, green, blue, rng.randint(70, 220))
        box = (x - wide, y - high, x + wide, y + high)
        if rng.random() < 0.5:
            draw.ellipse(box, fill)
        else:
            draw.polygon((box[0], y, x, box[1], box[2], y, x + rng.uniform(-4, 4), box[3]), fill)


def _develop(picture: Image.Image, rng: random.Random) -> Image.Image:
    pixels = np.asarray(picture, np.float32)
    if rng.random() < HAZE_ODDS:
        keep = rng.uniform(0.45, 0.85)
        pixels = pixels * keep + (1 - keep) * rng.uniform(120, 220)
    noise = np.random.Generator(np.random.PCG64(rng.getrandbits(64)))
    grain = noise.standard_normal((SIDE, SIDE, 3), np.float32) * rng.uniform(3, 14)
    return Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8))
