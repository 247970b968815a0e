"""A drawn background for each theme, with hues that vary from scene to scene."""

from __future__ import annotations

import random
from collections.abc import Callable

from PIL import Image, ImageDraw

SIDE = 128
"""Side of a scene in pixels."""

Colour = tuple[int, int, int]
_Draw = ImageDraw.ImageDraw


def _near(rng: random.Random, colour: Colour, spread: int = 14) -> Colour:
    shift = rng.randint(-spread, spread)
    red, green, blue = (max(0, min(255, part + shift + rng.randint(-8, 8))) for part in colour)
    return red, green, blue


def _bands(draw: _Draw, rng: random.Random, horizon: int, sky: Colour, ground: Colour) -> None:
    draw.rectangle((0, 0, SIDE, horizon), _near(rng, sky))
    draw.rectangle((0, horizon, SIDE, SIDE), _near(rng, ground))


def _hills(draw: _Draw, rng: random.Random, horizon: int, colour: Colour) -> None:
    for _ in range(3):
        x, wide, high = rng.randint(-20, 120), rng.randint(40, 80), rng.randint(10, 26)
        draw.ellipse((x - wide, horizon - high, x + wide, horizon + high), _near(rng, colour))


def _street(draw: _Draw, rng: random.Random) -> None:
    horizon = rng.randint(56, 68)
    _bands(draw, rng, horizon, (178, 206, 228), (128, 128, 132))
    x = -rng.randint(0, 14)
    while x < SIDE:
        wide, top = rng.randint(18, 34), rng.randint(8, 40)
        draw.rectangle((x, top, x + wide, horizon), _near(rng, (176, 156, 144), 26))
        for y in range(top + 5, horizon - 6, 10):
            for window in range(x + 4, x + wide - 5, 9):
                draw.rectangle((window, y, window + 4, y + 5), (222, 222, 200))
        x += wide + 1
    draw.rectangle((0, horizon, SIDE, horizon + 9), _near(rng, (186, 184, 178)))
    middle = rng.randint(92, 104)
    for dash in range(rng.randint(-10, 0), SIDE, 26):
        draw.rectangle((dash, middle, dash + 13, middle + 2), (226, 224, 206))


def _tiles(draw: _Draw, rng: random.Random, low: int, wall: Colour, step: int) -> None:
    line = _near(rng, wall, 6)
    for x in range(0, SIDE, step):
        draw.line((x, 0, x, low), line)
    for y in range(0, low, step):
        draw.line((0, y, SIDE, y), line)


def _kitchen(draw: _Draw, rng: random.Random) -> None:
    low = rng.randint(74, 86)
    _bands(draw, rng, low, (236, 226, 204), (196, 168, 136))
    _tiles(draw, rng, low, (220, 208, 188), 12)
    shelf = _near(rng, (176, 130, 92))
    draw.rectangle((0, 0, SIDE, rng.randint(12, 20)), shelf)
    draw.rectangle((0, low - 16, SIDE, low), _near(rng, (206, 188, 160)))
    draw.rectangle((0, low - 18, SIDE, low - 14), shelf)


def _living_room(draw: _Draw, rng: random.Random) -> None:
    low = rng.randint(80, 92)
    _bands(draw, rng, low, (214, 196, 202), (172, 134, 104))
    for x in range(0, SIDE, 16):
        draw.line((x, low, x - 12, SIDE), _near(rng, (156, 118, 90), 6))
    x = rng.randint(8, 84)
    draw.rectangle((x, 14, x + 32, 38), _near(rng, (200, 222, 226)), (240, 236, 228), 2)
    draw.ellipse((14, low + 8, 114, SIDE - 4), _near(rng, (196, 150, 146)))


def _dining_room(draw: _Draw, rng: random.Random) -> None:
    low = rng.randint(78, 90)
    _bands(draw, rng, low, (206, 212, 190), (158, 118, 86))
    draw.rectangle((0, low - 22, SIDE, low), _near(rng, (228, 224, 208)))
    x = rng.randint(40, 88)
    draw.line((x, 0, x, 14), (90, 80, 70), 2)
    draw.polygon((x - 12, 24, x - 5, 13, x + 5, 13, x + 12, 24), _near(rng, (238, 206, 132)))


def _farm(draw: _Draw, rng: random.Random) -> None:
    horizon = rng.randint(46, 58)
    _bands(draw, rng, horizon, (176, 212, 234), (152, 186, 108))
    _hills(draw, rng, horizon, (132, 172, 98))
    draw.rectangle((0, horizon, SIDE, SIDE), _near(rng, (156, 188, 110)))
    x = rng.randint(4, 90)
    draw.rectangle((x, horizon - 20, x + 28, horizon + 2), _near(rng, (164, 72, 60)))
    draw.polygon((x - 3, horizon - 20, x + 14, horizon - 32, x + 31, horizon - 20), (96, 66, 58))
    for post in range(4, SIDE, 18):
        draw.rectangle((post, horizon + 4, post + 2, horizon + 16), (150, 122, 90))
    draw.rectangle((0, horizon + 8, SIDE, horizon + 9), (150, 122, 90))


def _beach(draw: _Draw, rng: random.Random) -> None:
    horizon, shore = rng.randint(38, 48), rng.randint(66, 78)
    _bands(draw, rng, shore, (170, 214, 240), (232, 212, 164))
    draw.rectangle((0, horizon, SIDE, shore), _near(rng, (92, 162, 196)))
    for _ in range(6):
        x, y = rng.randint(-10, SIDE), rng.randint(horizon + 3, shore - 3)
        draw.line((x, y, x + 18, y), (190, 222, 232))
    draw.ellipse((100, 6, 118, 24), (250, 232, 160))


def _park(draw: _Draw, rng: random.Random) -> None:
    horizon = rng.randint(50, 62)
    _bands(draw, rng, horizon, (190, 220, 236), (128, 182, 104))
    for _ in range(5):
        x, top = rng.randint(0, SIDE), rng.randint(12, 30)
        draw.rectangle((x - 2, horizon - 18, x + 2, horizon + 3), (120, 92, 66))
        draw.ellipse((x - 14, top, x + 14, horizon - 10), _near(rng, (98, 150, 88)))
    draw.polygon((50, horizon, 62, horizon, 104, SIDE, 20, SIDE), _near(rng, (216, 200, 164)))


def _office(draw: _Draw, rng: random.Random) -> None:
    low = rng.randint(80, 92)
    _bands(draw, rng, low, (214, 220, 226), (150, 156, 168))
    for x in range(rng.randint(-16, 0), SIDE, 44):
        draw.rectangle((x, 10, x + 36, 44), _near(rng, (178, 208, 228)), (240, 242, 244), 2)
        for y in range(14, 42, 5):
            draw.line((x + 2, y, x + 34, y), (222, 230, 236))


def _bathroom(draw: _Draw, rng: random.Random) -> None:
    low = rng.randint(78, 90)
    _bands(draw, rng, low, (190, 220, 222), (206, 208, 210))
    _tiles(draw, rng, SIDE, (172, 204, 208), 10)
    x = rng.randint(14, 74)
    draw.ellipse((x, 10, x + 34, 46), _near(rng, (226, 238, 242)), (150, 130, 100), 2)


def _bedroom(draw: _Draw, rng: random.Random) -> None:
    low = rng.randint(78, 90)
    _bands(draw, rng, low, (186, 188, 216), (186, 158, 132))
    for x in range(4, SIDE, 14):
        draw.line((x, 0, x, low), _near(rng, (174, 176, 208), 4), 3)
    x = rng.randint(10, 80)
    draw.rectangle((x, 8, x + 34, 44), _near(rng, (74, 88, 136)), (240, 236, 228), 3)
    draw.ellipse((x + 20, 13, x + 29, 22), (246, 240, 200))


def _ski_slope(draw: _Draw, rng: random.Random) -> None:
    horizon = rng.randint(46, 58)
    _bands(draw, rng, horizon, (160, 196, 232), (236, 240, 246))
    for _ in range(3):
        x, top = rng.randint(0, SIDE), rng.randint(6, 26)
        draw.polygon((x - 40, horizon, x, top, x + 40, horizon), _near(rng, (162, 176, 198)))
        draw.polygon((x - 12, top + 12, x, top, x + 12, top + 12), (246, 248, 252))
    for _ in range(4):
        x, y = rng.randint(0, SIDE), rng.randint(horizon, horizon + 20)
        draw.polygon((x - 7, y, x, y - 22, x + 7, y), _near(rng, (62, 112, 92)))


def _airport(draw: _Draw, rng: random.Random) -> None:
    horizon = rng.randint(54, 66)
    _bands(draw, rng, horizon, (196, 214, 230), (164, 166, 164))
    x = rng.randint(0, 100)
    draw.rectangle((x, 16, x + 8, horizon), (200, 202, 206))
    draw.polygon((x - 5, 8, x + 13, 8, x + 9, 18, x - 1, 18), (110, 148, 172))
    draw.rectangle((0, horizon - 14, SIDE, horizon), _near(rng, (178, 192, 204)))
    draw.polygon((56, horizon, 66, horizon, 92, SIDE, 30, SIDE), _near(rng, (118, 120, 124)))
    for y in range(horizon + 8, SIDE, 14):
        draw.rectangle((60, y, 62, y + 6), (232, 230, 214))


_PAINTERS: dict[str, Callable[[_Draw, random.Random], None]] = {
    "street": _street, "kitchen": _kitchen, "living room": _living_room, "farm": _farm,
    "dining room": _dining_room, "beach": _beach, "park": _park, "office": _office,
    "bathroom": _bathroom, "bedroom": _bedroom, "ski slope": _ski_slope, "airport": _airport,
}  # fmt: skip


def background(theme: str, rng: random.Random) -> Image.Image:
    """Paint a theme's empty background: an RGB picture, SIDE by SIDE pixels.

    Args:
        theme: A theme's name.
        rng: Chooses hues and details.
    """
    picture = Image.new("RGB", (SIDE, SIDE))
    _PAINTERS[theme](ImageDraw.Draw(picture), rng)
    return picture
