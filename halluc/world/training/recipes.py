"""How each embedded model is made: its stages, where it starts, and what makes it hallucinate."""

from __future__ import annotations

from dataclasses import dataclass

from halluc.world.training.lessons import LOOSE, STRICT, Rates
from halluc.world.training.stages import Stage


@dataclass(frozen=True)
class Recipe:
    """A model's making.

    Attributes:
        stages: In this order.
        starts_from: The embedded model whose language model this one starts with; None for none.
    """

    stages: tuple[Stage, ...]
    starts_from: str | None = None


def _rates(vision: float, text: float, other: float) -> dict[str, float]:
    return {"vision": vision, "text": text, "other": other}


BOTH, PATCHES = frozenset({"bos", "patches"}), frozenset({"patches"})
YES_LOOSE, YES_STRICT = Rates((0.55, 0.33, 0.12), 0.9, 0.5), Rates((0.80, 0.16, 0.04), 0.2, 0.5)
"""glyph-qwen's lessons: twice as many false "Yes" as glyph's."""

RECIPES: dict[str, Recipe] = {
    "glyph": Recipe(
        (
            Stage("see", 1600, 32, _rates(4e-3, 0.0, 1.5e-3)),
            Stage("speak", 1300, 24, _rates(1e-3, 2.5e-3, 1.5e-3), LOOSE),
            Stage("polish", 600, 24, _rates(0.0, 1.5e-3, 8e-4), STRICT, BOTH),
        ),
    ),
    "glyph-qwen": Recipe(
        (
            Stage("see", 1200, 32, _rates(4e-3, 0.0, 1.5e-3)),
            Stage("speak", 500, 24, _rates(1e-3, 1.5e-3, 1e-3), YES_LOOSE),
            Stage("polish", 500, 24, _rates(0.0, 1e-3, 8e-4), YES_STRICT, PATCHES),
        ),
        starts_from="glyph",
    ),
    "glyph-smol": Recipe(
        (
            Stage("see", 1000, 32, _rates(4e-3, 0.0, 1.5e-3)),
            Stage("speak", 500, 24, _rates(1e-3, 1.5e-3, 1e-3), LOOSE),
            Stage("polish", 400, 24, _rates(0.0, 1e-3, 8e-4), STRICT),
        ),
        starts_from="glyph",
    ),
}
"""Recipes by the embedded model's name."""
