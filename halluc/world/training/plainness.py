"""Plain background: the patches of scenes that hold no thing and least detail."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from halluc.world.backgrounds import SIDE
from halluc.world.rendering import render
from halluc.world.scenes import Scene, outlines
from halluc.world.training.architectures.base import COLUMNS

PLAIN_A_SCENE = 3.0
"""The mean number of patches in a scene that count as plain."""


def plain_patches(scenes: Sequence[Scene]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Mark the plainest patches: no thing in them, and least detail among all such patches.

    Args:
        scenes: Scenes to draw.

    Returns:
        bool [scenes, 64]; `PLAIN_A_SCENE` are true in a scene on average.
    """
    each = SIDE // COLUMNS
    detail = np.empty((len(scenes), COLUMNS**2))
    for row, drawn in enumerate(scenes):
        pixels = np.asarray(render(drawn), np.float32).reshape(COLUMNS, each, COLUMNS, each, 3)
        detail[row] = pixels.std((1, 3)).mean(-1).reshape(-1)
        busy = outlines(drawn.things).reshape(COLUMNS, each, COLUMNS, each).any((1, 3)).reshape(-1)
        detail[row][busy] = np.inf
    number = round(PLAIN_A_SCENE * len(scenes))
    most: float = np.partition(detail.reshape(-1), number - 1)[number - 1]
    plain: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = detail <= most
    return plain
