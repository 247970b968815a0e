"""Parts of a benchmark to tune on and to report on share no image."""

from __future__ import annotations

import pytest
from PIL import Image

from halluc.data.sample_selection import check_split, first_images, split_samples
from halluc.errors import UserError
from halluc.scoring.building import build
from halluc.types import Sample

SAMPLES = [
    Sample(f"{image}/{i}", f"{image:06d}.jpg", "Is it?", lambda: Image.new("RGB", (1, 1)))
    for image in range(1000)
    for i in range(2)
]


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_two_parts_are_disjoint_and_all(share: float) -> None:
    tune, test = (
        list(split_samples(SAMPLES, f"{side}:{share}", None)) for side in ("tune", "test")
    )
    images = [{sample.image_id for sample in side} for side in (tune, test)]
    assert not images[0] & images[1]
    assert len(tune) + len(test) == len(SAMPLES)
    assert len(images[0]) / 1000 == pytest.approx(share, abs=0.05)


def test_a_side_does_not_depend_on_its_company() -> None:
    whole = list(split_samples(SAMPLES, "tune:0.5", None))
    assert list(split_samples(SAMPLES[:500], "tune:0.5", None)) == [
        s for s in SAMPLES[:500] if s in whole
    ]


def test_a_limit_counts_images_of_the_part() -> None:
    few = list(split_samples(SAMPLES, "test:0.5", 3))
    assert len(few) == 6
    assert few == list(split_samples(SAMPLES, "test:0.5", None))[:6]


def test_the_first_images_come_with_all_their_samples() -> None:
    mixed = [SAMPLES[i] for i in (4, 0, 5, 2, 1)]
    assert [sample.id for sample in first_images(mixed, 2)] == ["2/0", "2/1", "0/0", "0/1"]
    assert [sample.id for sample in first_images(mixed, None)][-1] == "1/0"
    assert list(first_images(mixed, 0)) == []


@pytest.mark.parametrize("split", ["half", "tune", "tune:0", "tune:1", "tune:0.0", "train:0.5"])
def test_no_split_is_named(split: str) -> None:
    with pytest.raises(UserError, match=r"as in 'tune:0\.5'"):
        check_split("pope_coco", split)


@pytest.mark.parametrize("name", ["glyph_pope", "glyph_chair", "glyph_mme"])
def test_drawn_benchmarks_draw_others_to_tune_on(name: str) -> None:
    tune, test = (build(name, options) for options in build(name).halves(0.5))
    images = [{sample.image_id for sample in one.asked(20)} for one in (tune, test)]
    assert [len(side) for side in images] == [20, 20]
    assert not images[0] & images[1]
    assert [s.id for s in test.asked(20)] == [s.id for s in build(name).samples(20)]
    with pytest.raises(UserError, match="choose from test, tune"):
        build(name, {"split": "tune:0.5"})


def test_others_are_split_by_image() -> None:
    halves = build("pope_coco").halves(0.3)
    assert [build("pope_coco", options).split for options in halves] == ["tune:0.3", "test:0.3"]
