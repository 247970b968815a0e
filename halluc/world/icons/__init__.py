"""Small vector icons, one function a category, drawn by PIL and kept as RGBA pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import ModuleType

from PIL import Image

from halluc.world.catalog import COLOURS, NAMES
from halluc.world.icons import animals, belongings, furniture, vehicles
from halluc.world.icons import tableware as table
from halluc.world.icons.pen import Pen

_PAGES: tuple[ModuleType, ...] = (animals, belongings, furniture, table, vehicles)


def _artist(name: str) -> Callable[[Pen], None]:
    function = name.replace(" ", "_")
    found: list[Callable[[Pen], None]] = [
        getattr(page, function) for page in _PAGES if hasattr(page, function)
    ]
    if not found:
        raise KeyError(f"no icon for {name!r}; halluc.world.catalog has {', '.join(NAMES)}")
    return found[0]


@cache
def icon(name: str, colour: str, flipped: bool = False) -> Image.Image:
    """Draws a category's icon in a colour; the same picture is handed out again.

    Args:
        name: a category of the catalogue.
        colour: one of the catalogue's colours.
        flipped: whether it faces the other way.

    Returns:
        An RGBA picture, 96 by 96 pixels, cut to the icon's own outline.
    """
    if flipped:
        return icon(name, colour).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pen = Pen(COLOURS[colour])
    _artist(name)(pen)
    picture = pen.finish()
    return picture.crop(picture.getbbox())


__all__ = ["icon"]
