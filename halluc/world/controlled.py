"""Scenes with one property set to a level and all else the same: background, clutter, noise.

What is drawn at random in a picture comes from the scene's split and index, which variants keep, so
that two variants differ in pixels only where the property shows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from halluc.world.rendering import render
from halluc.world.scenes import Scene, Thing, generator, in_view

if TYPE_CHECKING:
    from collections.abc import Iterable

    from PIL.Image import Image


@dataclass(frozen=True)
class Variant:
    """A scene as it is drawn at one level.

    Attributes:
        scene: The scene, changed.
        level: What was changed, such as "size=0.5"; part of the picture's id.
        more_clutter: Blobs behind the things, next to the scene's own.
    """

    scene: Scene
    level: str = ""
    more_clutter: int = 0

    @property
    def image_id(self) -> str:
        """The picture's id: the scene's file name and the level."""
        return f"{self.scene.file_name}/{self.level}" if self.level else self.scene.file_name

    def image(self) -> Image:
        """Draw it: an RGB picture, 128 by 128 pixels."""
        return render(self.scene, self.more_clutter)


def resized(scene: Scene, factor: float) -> Scene:
    """Make all things larger or smaller around their own middles.

    Args:
        factor: Of width and height; 1 leaves the scene as it is.
    """
    return _with(scene, (_resize(thing, factor) for thing in scene.things))


def faded(scene: Scene, opacity: float) -> Scene:
    """Draw all things with one opacity: their contrast with what is behind them, in (0, 1]."""
    return _with(scene, (replace(thing, opacity=opacity) for thing in scene.things))


def fewer(scene: Scene, number: int) -> Scene:
    """Keep some of the things; those kept at a number are kept at any higher one.

    Args:
        number: How many are kept; all if there are no more.
    """
    order = list(range(len(scene.things)))
    generator("fewer", scene.split, scene.index).shuffle(order)
    kept = set(order[:number])
    return _with(scene, (thing for place, thing in enumerate(scene.things) if place in kept))


def without(scene: Scene, category: str) -> Scene:
    """Take all things of a category away."""
    return _with(scene, (thing for thing in scene.things if thing.category != category))


def _with(scene: Scene, things: Iterable[Thing]) -> Scene:
    """Put other things into a scene; what is in view of each is found again."""
    return replace(scene, things=tuple(in_view(tuple(things))))


def _resize(thing: Thing, factor: float) -> Thing:
    left, top, wide, high = thing.place
    across, down = max(2, round(wide * factor)), max(2, round(high * factor))
    x, y = left + wide / 2, top + high / 2
    return replace(thing, place=(round(x - across / 2), round(y - down / 2), across, down))
