"""A pen that draws on a square of 100 by 100 units, so that icons read as plain numbers."""

from __future__ import annotations

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]

SIDE = 96
"""Side of a finished icon in pixels."""
_OVERSAMPLE = 3

INK: Colour = (38, 38, 46)
STEEL: Colour = (150, 156, 166)
GLASS: Colour = (176, 216, 236)
WOOD: Colour = (146, 98, 58)
SKIN: Colour = (232, 184, 148)
CREAM: Colour = (250, 244, 226)
LEAF: Colour = (66, 140, 66)
LAMP: Colour = (252, 226, 120)


class Pen:
    """A pen for filled shapes with a thin dark rim; coordinates run from 0 to 100, y downwards.

    Attributes:
        main: The main colour of the icon.
        dark: A darker shade of it.
        light: A lighter shade of it.
    """

    def __init__(self, main: Colour) -> None:
        self.main = main
        self.dark = _mix(main, (0, 0, 0), 0.32)
        self.light = _mix(main, (255, 255, 255), 0.38)
        side = SIDE * _OVERSAMPLE
        self._image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self._image)
        self._unit = side / 100
        self._rim = _mix(main, (0, 0, 0), 0.6)

    def box(
        self, x0: float, y0: float, x1: float, y1: float, fill: Colour, round_by: float = 0
    ) -> None:
        """Draw a rectangle, with corners rounded by `round_by` units."""
        self._draw.rounded_rectangle(
            self._at(x0, y0, x1, y1), round_by * self._unit, fill, self._rim, self._width
        )

    def oval(self, x0: float, y0: float, x1: float, y1: float, fill: Colour) -> None:
        """Draw an ellipse inside a box."""
        self._draw.ellipse(self._at(x0, y0, x1, y1), fill, self._rim, self._width)

    def disc(self, x: float, y: float, radius: float, fill: Colour) -> None:
        """Draw a circle about a point."""
        self.oval(x - radius, y - radius, x + radius, y + radius, fill)

    def poly(self, *numbers: float, fill: Colour) -> None:
        """Draw a polygon through x, y, x, y, ..."""
        self._draw.polygon(self._at(*numbers), fill, self._rim, self._width)

    def line(self, *numbers: float, fill: Colour, width: float = 4) -> None:
        """Draw a line of `width` units through x, y, x, y, ..."""
        self._draw.line(self._at(*numbers), fill, round(width * self._unit), joint="curve")

    def arc(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        start: float,
        end: float,
        fill: Colour,
        width: float = 4,
    ) -> None:
        """Draw part of an ellipse's rim, from `start` to `end` in degrees clockwise from east."""
        self._draw.arc(self._at(x0, y0, x1, y1), start, end, fill, round(width * self._unit))

    def pie(
        self, x0: float, y0: float, x1: float, y1: float, start: float, end: float, fill: Colour
    ) -> None:
        """Draw a slice of an ellipse, angles as in `arc`."""
        self._draw.pieslice(self._at(x0, y0, x1, y1), start, end, fill, self._rim, self._width)

    def finish(self) -> Image.Image:
        """Return the icon, RGBA, SIDE by SIDE pixels, smoothed."""
        return self._image.resize((SIDE, SIDE), Image.Resampling.BOX)

    @property
    def _width(self) -> int:
        return round(1.4 * self._unit)

    def _at(self, *numbers: float) -> list[float]:
        return [number * self._unit for number in numbers]


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
