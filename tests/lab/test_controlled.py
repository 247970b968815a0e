"""A variant differs from its scene in one property, and in pixels only where that shows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageFilter

from halluc.world.controlled import Variant, faded, fewer, resized, without
from halluc.world.rendering import render
from halluc.world.scenes import Mask, Scene, Thing, outline, scene

SCENES = [scene("test", index) for index in range(12)]
BLUR = 9  # pixels: the width of what a picture out of focus mixes


def changed(one: Image.Image, other: Image.Image) -> Mask:
    differs: Mask = (np.asarray(one) != np.asarray(other)).any(-1)
    return differs


def around(mask: Mask) -> Mask:
    grown = Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(BLUR))
    return np.asarray(grown) > 0


@pytest.mark.parametrize("whole", SCENES, ids=lambda scene: str(scene.index))
def test_taking_a_category_away_changes_pixels_only_where_it_was(whole: Scene) -> None:
    for category in whole.categories:
        there = [thing for thing in whole.things if thing.category == category]
        gone = without(whole, category)
        assert category not in gone.categories
        assert set(gone.categories) == set(whole.categories) - {category}
        differs = changed(render(whole), render(gone))
        assert differs.any()
        assert not (differs & ~around(np.any([outline(thing) for thing in there], axis=0))).any()


def test_what_stood_behind_comes_into_view() -> None:
    def in_view(scene: Scene) -> Counter[str]:
        return Counter({thing.category: thing.area for thing in scene.things})

    more = 0
    for whole in SCENES:
        gone = without(whole, whole.things[-1].category)
        before, after = in_view(whole), in_view(gone)
        assert all(after[category] >= before[category] for category in gone.categories)
        more += sum(after[category] > before[category] for category in gone.categories)
    assert more


def kept(whole: Scene, other: Scene) -> list[tuple[Thing, Thing]]:
    """Pair the things of a scene with those of a variant in which none went out of view."""
    same = len(whole.things) == len(other.things)
    return list(zip(whole.things, other.things, strict=True)) if same else []


def test_things_are_resized_around_their_middles() -> None:
    found = [both for whole in SCENES for both in kept(whole, resized(whole, 0.5))]
    assert len(found) > 20
    for before, after in found:
        (x, y, wide, high), (x2, y2, wide2, high2) = before.place, after.place
        assert abs(wide2 - wide / 2) <= 0.5 and abs(high2 - high / 2) <= 0.5
        assert abs(x + wide / 2 - x2 - wide2 / 2) <= 0.5
        assert abs(y + high / 2 - y2 - high2 / 2) <= 0.5
        assert (before.category, before.colour) == (after.category, after.colour)
        assert before.opacity == after.opacity
        assert outline(after).sum() < outline(before).sum()
    assert all(resized(whole, 1.0) == whole for whole in SCENES)


def test_contrast_is_one_opacity_and_nothing_else() -> None:
    found = [both for whole in SCENES for both in kept(whole, faded(whole, 0.3))]
    assert len(found) > 20
    for before, after in found:
        assert after.opacity == 0.3
        assert (before.place, before.colour) == (after.place, after.colour)


def test_fewer_things_are_kept_also_at_higher_numbers() -> None:
    for whole in SCENES:
        before: set[tuple[int, int, int, int]] = set()
        for number in range(1, len(whole.things) + 1):
            kept = {thing.place for thing in fewer(whole, number).things}
            assert before <= kept
            assert len(kept) <= number
            before = kept
        assert fewer(whole, 99) == whole


def test_more_clutter_lies_behind_the_things() -> None:
    inside, outside = [], []
    for whole in SCENES:
        solid = faded(whole, 1.0)
        bare = Variant(solid).image()
        assert not changed(bare, render(solid)).any()
        differs = [changed(bare, Variant(solid, more_clutter=n).image()) for n in (5, 40)]
        assert 0 < differs[0].sum() < differs[1].sum()
        things = np.any([outline(thing) for thing in solid.things], axis=0)
        inside.append(differs[1][~around(~things)].mean())
        outside.append(differs[1][~around(things)].mean())
    assert np.nanmean(inside) < 0.1 * np.nanmean(outside)  # some icons are translucent in places


def test_a_level_is_part_of_the_picture_s_id() -> None:
    ids = {Variant(SCENES[0], level).image_id for level in ("", "size=0.5", "size=1")}
    assert len(ids) == 3
