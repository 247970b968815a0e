"""Which image tokens show which things: a scene's outlines laid over a model's grid of patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from halluc.models import VisionLanguageModel
    from halluc.world import Scene

    Array = NDArray[np.float64]

Grid = tuple[int, int]
"""Rows and columns of image tokens."""
SHOWS = 0.25
"""A patch shows a thing if the thing's outline takes at least this share of it."""


def scene_grid(model: VisionLanguageModel) -> Grid | None:
    """Find out how a model's image tokens are laid out over drawn scenes, which are of one size.

    Returns:
        None where tokens have no place in the picture, or are laid out in tiles.
    """
    from halluc.lab.questions import SPLIT
    from halluc.world import render, scene

    return model.grid(render(scene(SPLIT, 0)))


def coverage(drawn: Scene, grid: Grid, category: str | None = None) -> Array:
    """Measure how much of each patch the outlines of things take.

    Args:
        category: Of the things; all things by default.

    Returns:
        Shares [rows x columns], in the order of the image's tokens.
    """
    import numpy as np

    from halluc.world.backgrounds import SIDE
    from halluc.world.scenes import outlines

    things = [thing for thing in drawn.things if category in (None, thing.category)]
    row, column = (np.arange(SIDE) * count // SIDE for count in grid)
    patch = row[:, None] * grid[1] + column
    pixels = np.bincount(patch.ravel(), minlength=grid[0] * grid[1])
    taken: Array = np.bincount(patch.ravel(), outlines(things).ravel(), grid[0] * grid[1]) / pixels
    return taken


def background(drawn: Scene, grid: Grid) -> Tensor:
    """Mark the patches that no thing's outline reaches, bool [rows x columns]."""
    import torch

    return torch.from_numpy(coverage(drawn, grid) == 0)


def showing(drawn: Scene, grid: Grid, category: str) -> Tensor:
    """Mark the patches that show things of a category, bool [rows x columns].

    Where all are smaller than `SHOWS` of a patch, those with most of them.
    """
    import torch

    taken = coverage(drawn, grid, category)
    return torch.from_numpy(taken >= min(SHOWS, taken.max()))
