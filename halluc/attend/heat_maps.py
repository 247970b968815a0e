"""Heat maps: the attention of image tokens laid over the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from halluc.attend.boxes import Size
    from halluc.attend.geometry import Places

    Array = NDArray[np.float64]


def heat(weights: NDArray[np.floating], places: Places, size: Size | None = None) -> Array:
    """Lay weights of image tokens over the image.

    A token spreads its weight evenly over its rectangle. Where rectangles overlap, as those of
    tiles and of the whole image do, a pixel gets the mean of what they bring, each weighted by the
    part of the pixel that it covers.

    Args:
        weights: Of the n image tokens [n].
        places: Where they stand.
        size: Width and height of the map; the image's own by default.

    Returns:
        Weight per pixel of the image [height, width], of whatever size the map is; nan where no
        token stands, since the model did not see that part.
    """
    import numpy as np

    width, height = size or places.size
    there = ~np.isnan(places.boxes).any(1)
    boxes, spread = places.boxes[there], np.asarray(weights, float)[there]
    density = spread / ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    x = covered(boxes[:, [0, 2]] * (width / places.size[0]), width)
    y = covered(boxes[:, [1, 3]] * (height / places.size[1]), height)
    area = y.T @ x
    with np.errstate(invalid="ignore"):
        found: Array = np.where(area > 1e-9, (y.T @ (density[:, None] * x)) / area, np.nan)
    return found


def covered(ends: Array, count: int) -> Array:
    """Measure how much of each of `count` pixels in a line intervals cover.

    Args:
        ends: Start and end of each interval, in pixels [n, 2].

    Returns:
        0 to 1, [n, count].
    """
    import numpy as np

    pixels = np.arange(count)
    reach = np.minimum(ends[:, 1:], pixels + 1) - np.maximum(ends[:, :1], pixels)
    part: Array = np.clip(reach, 0.0, 1.0)
    return part
