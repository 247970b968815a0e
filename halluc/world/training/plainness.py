"""Plain background: in each scene, the patches that hold no thing and least detail."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from halluc.world.backgrounds import SIDE
from halluc.world.rendering import render
from halluc.world.scenes import Scene, outlines
from halluc.world.training.architectures.base import COLUMNS

PLAINEST = 3
"""How many patches of a scene count as plain."""


def plain_patches(scenes: Sequence[Scene]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Mark the plainest patches of each scene: least detail among those without a thing.

    Args:
        scenes: Scenes to draw.

    Returns:
        bool [scenes, 64]; `PLAINEST` are true in a scene that has as much background.
    """
    each = SIDE // COLUMNS
    plain = np.zeros((len(scenes), COLUMNS**2), dtype=np.bool_)
    for row, drawn in enumerate(scenes):
        pixels = np.asarray(render(drawn), np.float32).reshape(COLUMNS, each, COLUMNS, each, 3)
        detail = pixels.std((1, 3)).mean(-1).reshape(-1)
        busy = outlines(drawn.things).reshape(COLUMNS, each, COLUMNS, each).any((1, 3)).reshape(-1)
        background = np.flatnonzero(~busy)
        plain[row, background[detail[background].argsort(kind="stable")[:PLAINEST]]] = True
    return plain
