"""Outlines of things, laid over a model's grid of image tokens."""

from __future__ import annotations

import pytest

from halluc.lab.patches import background, coverage, scene_grid, showing
from halluc.world.backgrounds import SIDE
from halluc.world.scenes import Scene, Thing, outline
from tests.kit.families import build


def alone(place: tuple[int, int, int, int], category: str = "tv") -> Scene:
    """A scene with one thing."""
    thing = Thing(category, "red", place, False, 1.0, bbox=place, area=place[2] * place[3])
    return Scene("test", 0, "office", (thing,))


def test_a_thing_is_in_the_patches_its_outline_reaches() -> None:
    scene = alone((2, 2, 24, 24))  # in the first of 4 x 4 patches of 32 pixels
    taken = coverage(scene, (4, 4))
    assert taken[0] == pytest.approx(outline(scene.things[0]).sum() / 32**2)
    assert (taken[1:] == 0).all()
    assert background(scene, (4, 4)).tolist() == [False, *[True] * 15]


def test_patches_run_along_rows_first() -> None:
    scene = alone((SIDE - 30, 2, 24, 24))  # top right
    assert coverage(scene, (2, 4)).nonzero()[0].tolist() == [3]
    assert coverage(scene, (4, 2)).nonzero()[0].tolist() == [1]


def test_a_thing_smaller_than_a_patch_is_shown_by_those_with_most_of_it() -> None:
    scene = alone((2, 2, 10, 10))
    assert coverage(scene, (2, 2)).max() < 0.25
    assert showing(scene, (2, 2), "tv").tolist() == [True, False, False, False]


def test_a_large_thing_is_not_shown_by_a_patch_it_hardly_touches() -> None:
    scene = alone((4, 4, 34, 28))  # 6 pixels into the second patch
    taken = coverage(scene, (4, 4))
    assert 0 < taken[1] < 0.25 <= taken[0]
    assert showing(scene, (4, 4), "tv").nonzero()[:, 0].tolist() == [0]


def test_other_categories_do_not_count() -> None:
    left, right = alone((2, 2, 24, 24)), alone((98, 98, 24, 24), "book")
    both = Scene("test", 0, "office", left.things + right.things)
    assert coverage(both, (4, 4), "book").nonzero()[0].tolist() == [15]
    assert background(both, (4, 4)).sum() == 14


def test_grids_are_the_models_own_and_unknown_where_tokens_have_no_place() -> None:
    assert scene_grid(build("llava")) == (4, 4)
    assert scene_grid(build("blip_2")) is None
