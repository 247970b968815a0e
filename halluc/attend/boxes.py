"""Rectangles in an image, and what image processors leave of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Boxes = NDArray[np.float64]

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""
Size = tuple[int, int]
"""Width and height."""


def grid_of(box: Box, rows: int, columns: int) -> Boxes:
    """Divide a box evenly, row by row [rows * columns, 4]."""
    import numpy as np

    left, top, right, bottom = box
    x, y = np.linspace(left, right, columns + 1), np.linspace(top, bottom, rows + 1)
    edges = (x[None, :-1], y[:-1, None], x[None, 1:], y[1:, None])
    return np.stack([np.broadcast_to(edge, (rows, columns)) for edge in edges], -1).reshape(-1, 4)


def clipped(boxes: Boxes, size: Size) -> Boxes:
    """Cut boxes [n, 4] at the image's edges; nan where nothing is left of one."""
    import numpy as np

    width, height = size
    inside = np.clip(boxes, 0, [width, height, width, height])
    lost = (inside[:, 2] <= inside[:, 0]) | (inside[:, 3] <= inside[:, 1])
    inside[lost] = np.nan
    return inside


def visible_box(processor: Any, size: Size) -> Box:
    """Find the part of an image that a processor leaves, in its pixels; padding lies outside.

    It may make the image square with a margin, resize it, by its shorter side or to a fixed shape,
    and cut the middle out.
    """
    width, height = size
    left = top = 0.0
    across, down = float(width), float(height)
    if getattr(processor, "do_pad", False) and hasattr(processor, "pad_to_square"):  # LLaVA's own
        left, top = -float((max(size) - width) // 2), -float((max(size) - height) // 2)
        across = down = float(max(size))
    wanted: Any = getattr(processor, "size", None)
    crop: Any = getattr(processor, "crop_size", None)
    if not getattr(processor, "do_center_crop", False) or not crop:
        return left, top, left + across, top + down
    if getattr(processor, "do_resize", True) and getattr(wanted, "shortest_edge", None):
        shorter = wanted.shortest_edge / min(across, down)
        scale = shorter, shorter
    elif getattr(processor, "do_resize", True) and getattr(wanted, "height", None):
        scale = wanted.width / across, wanted.height / down
    else:
        scale = 1.0, 1.0
    wide, high = crop.width / scale[0], crop.height / scale[1]
    x, y = left + (across - wide) / 2, top + (down - high) / 2
    return x, y, x + wide, y + high
