"""Small vector icons, one function for each category, drawn by PIL and kept as RGBA pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import ModuleType

from PIL import Image

from halluc.world.catalog import COLOURS, NAMES
from halluc.world.icons import animals, belongings, furniture, tableware, vehicles
from halluc.world.icons.pen import Pen

_PAGES: tuple[ModuleType, ...] = (animals, belongings, furniture, tableware, vehicles)


def _artist(name: str) -> Callable[[Pen], None]:
    function = name.replace(" ", "_")
    artists: list[Callable[[Pen], None]] = [
        getattr(page, function) for page in _PAGES if hasattr(page, function)
    ]
    if not artists:
        raise KeyError(f"there is not an icon of {name!r}; the categories are {', '.join(NAMES)}")
    return artists[0]


@cache
def icon(name: str, colour: str, flipped: bool = False) -> Image.Image:
    """Draw a category's icon in a colour, or return the one drawn before.

    Args:
        name: A category of the catalogue.
        colour: One of the catalogue's colours.
        flipped: Mirror it.

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
