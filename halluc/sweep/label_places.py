"""Labels at points of a figure, placed so that they cover neither each other nor a point."""

from __future__ import annotations

from math import cos, pi, sin
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

    Box = tuple[float, float, float, float]

_DISTANCES = (8, 18, 30, 44, 60)  # typographic points, the nearest first
_DIRECTIONS = tuple(pi / 4 * turn for turn in (1, 3, 7, 5, 0, 4, 2, 6))  # corners first
_POINT = 5.0  # pixels around a point that are its own


def place_labels(
    panel: Axes, labels: Sequence[tuple[str, tuple[float, float], str]], size: float = 7
) -> list[Annotation]:
    """Write labels at the nearest free place around their points, farther ones with a line.

    Args:
        panel: With its points drawn and its limits fixed.
        labels: Text, point in the panel's own units, and colour of each.
        size: Of the letters.
    """
    figure = panel.figure
    figure.draw_without_rendering()  # type: ignore[union-attr]  # sets the layout
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    inside = panel.get_window_extent(renderer)
    room = (inside.x0, inside.y0, inside.x1, inside.y1)
    spots = panel.transData.transform([point for line in panel.lines for point in _marked(line)])
    taken: list[Box] = [(x - _POINT, y - _POINT, x + _POINT, y + _POINT) for x, y in spots]
    placed = []
    for text, point, colour in labels:
        style: dict[str, Any] = {
            "textcoords": "offset points", "fontsize": size, "color": colour,
        }  # fmt: skip
        note = panel.annotate(text, point, xytext=(0, 0), **style)
        tried = []
        for distance in _DISTANCES:
            for turn in _DIRECTIONS:
                place = _beside(distance, turn)
                note.set(position=place["xytext"], ha=place["ha"], va=place["va"])
                extent = note.get_window_extent(renderer)
                box = (extent.x0, extent.y0, extent.x1, extent.y1)
                covered = sum(_shared(box, other) for other in taken) + _outside(box, room)
                tried.append((covered, distance, place, box))
            if any(not covered for covered, *_ in tried):
                break
        note.remove()
        _, distance, place, box = min(tried, key=lambda one: one[0])
        line = {"arrowstyle": "-", "color": colour, "lw": 0.5, "shrinkA": 0, "shrinkB": 3}
        arrow = line if distance > _DISTANCES[0] else None
        placed.append(panel.annotate(text, point, **place, **style, arrowprops=arrow))
        taken.append(box)
    return placed


def _beside(distance: float, turn: float) -> dict[str, Any]:
    """Say where a text goes that lies off its point, at an angle: its corner or side to it."""
    across, up = cos(turn), sin(turn)
    return {
        "xytext": (across * distance, up * distance),
        "ha": "left" if across > 0.1 else "right" if across < -0.1 else "center",
        "va": "bottom" if up > 0.1 else "top" if up < -0.1 else "center",
    }


def _marked(line: object) -> Sequence[tuple[float, float]]:
    """Return the points of a line that have marks."""
    if line.get_marker() in ("None", "", None):  # type: ignore[attr-defined]
        return []
    points: Sequence[tuple[float, float]] = line.get_xydata()  # type: ignore[attr-defined]
    return points


def _shared(one: Box, other: Box) -> float:
    """Return the area that two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width * height if width > 0 and height > 0 else 0.0


def _outside(box: Box, room: Box) -> float:
    """Return the area of a box that is out of the room."""
    return (box[2] - box[0]) * (box[3] - box[1]) - _shared(box, room)
