"""A scene, and the same scene with all things of one category taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.world.controlled import Variant, without
from halluc.world.themes import chance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from halluc.world.scenes import Scene

TERCILES = ("least expected", "middle", "most expected")


@dataclass(frozen=True)
class ScenePair:
    """A scene with a category and without it.

    Attributes:
        there, gone: The scene with and without it; all else is the same.
        category: What is taken away, at least one clear thing.
        tercile: The place of its chance in the scene's theme among all pairs.
    """

    there: Variant
    gone: Variant
    category: str
    tercile: str

    @property
    def scene(self) -> str:
        """The scene, by which intervals are clustered."""
        return self.there.scene.file_name


def pairs(drawn: Sequence[Scene]) -> list[ScenePair]:
    """Take away from each scene the clear category least and the one most expected in its theme.

    Something is left in every scene. Terciles are of all pairs, by the category's chance.
    """
    chosen: list[tuple[Scene, str]] = []
    for scene in drawn:
        clear = {thing.category for thing in scene.things if thing.band == "clear"}
        ranked = sorted(clear, key=lambda name: (chance(scene.theme, name), name))
        if len(scene.categories) > 1 and ranked:
            chosen += [(scene, name) for name in dict.fromkeys((ranked[0], ranked[-1]))]
    odds = sorted(chance(scene.theme, name) for scene, name in chosen)
    edges = [odds[len(odds) * third // 3] for third in (1, 2)] if odds else []
    return [
        ScenePair(
            Variant(scene),
            Variant(without(scene, name), f"without={name}"),
            name,
            TERCILES[sum(chance(scene.theme, name) >= edge for edge in edges)],
        )
        for scene, name in chosen
    ]
