from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

from halluc.data.coco_objects import ImageObjects
from halluc.errors import UserError
from halluc.scoring.pope.questions import (
    build,
    corrected_wording,
    published_wording,
    sample_images,
)

if TYPE_CHECKING:
    from pathlib import Path

THREE = [
    ImageObjects("1.jpg", ("cat", "dog", "cup")),
    ImageObjects("2.jpg", ("dog", "car", "cup")),
    ImageObjects("3.jpg", ("apple", "car", "bus")),
]


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def images(shared: Path) -> list[ImageObjects]:
    rows = lines(shared / "data/pope/coco500_objects_reconstructed.jsonl")
    return [ImageObjects(row["image"], tuple(row["objects"])) for row in rows]


def test_popular_file_row_for_row(shared: Path, images: list[ImageObjects]) -> None:
    built = build(images, "popular", random.Random(0), template=published_wording)
    want = lines(shared / "golden/pope/official_builder_popular.json")
    got = [
        {"question_id": q.question_id, "image": q.image, "text": q.text, "label": q.label}
        for q in built
    ]
    assert len(got) == 3000
    assert got == want


def test_adversarial_file_but_for_ties(shared: Path, images: list[ImageObjects]) -> None:
    built = build(images, "adversarial", random.Random(0))
    released = lines(shared / "data/pope/coco_pope_adversarial.json")
    want = [(r["image"], object_of(r["text"]), r["label"]) for r in released]
    got = [(q.image, q.object, q.label) for q in built]
    assert len(got) == len(want) == 3000
    assert sum(a == b for a, b in zip(got, want, strict=True)) >= 2994


def test_random_asks_what_the_released_file_allows(images: list[ImageObjects]) -> None:
    present = {image.image: set(image.objects) for image in images}
    vocabulary = {name for image in images for name in image.objects}
    built = build(images, "random", random.Random(7))
    assert [q.label for q in built] == ["yes", "no"] * 1500
    for question in built:
        assert (question.object in present[question.image]) == (question.label == "yes")
        assert question.object in vocabulary
    assert built == build(images, "random", random.Random(7))
    assert built != build(images, "random", random.Random(8))


def test_popular_by_hand() -> None:
    # dog 2, cup 2, car 2, then cat, apple, bus: ties in order of first appearance
    rows = [(q.object, q.label) for q in build(THREE, "popular", random.Random(0))]
    assert rows[:3] == [("cat", "yes"), ("car", "no"), ("dog", "yes")]
    assert rows[3:6] == [("apple", "no"), ("cup", "yes"), ("bus", "no")]
    assert [name for name, label in rows[12:] if label == "no"] == ["dog", "cup", "cat"]


def test_adversarial_by_hand() -> None:
    rows = [(q.object, q.label) for q in build(THREE, "adversarial", random.Random(0))]
    # beside dog: cup 2, cat, car. Beside car: dog, cup, apple, bus. Beside cup: dog 2, cat, car, of
    # which none is absent and unasked, so one is drawn from what is left: the bus
    assert rows[6:9] == [("dog", "yes"), ("cat", "no"), ("car", "yes")]
    assert rows[9:12] == [("apple", "no"), ("cup", "yes"), ("bus", "no")]


def test_ids_run_on_and_objects_of_an_image_are_asked_once() -> None:
    built = build(THREE, "random", random.Random(3))
    assert [q.question_id for q in built] == list(range(1, 19))
    for image in THREE:
        asked = [q.object for q in built if q.image == image.image]
        assert len(set(asked)) == 6


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("dog", "Is there a dog in the image?", "Is there a dog in the image?"),
        ("apple", "Is there an apple in the image?", "Is there an apple in the imange?"),
    ],
)
def test_templates(name: str, ours: str, theirs: str) -> None:
    assert corrected_wording(name) == ours
    assert published_wording(name) == theirs


def test_errors() -> None:
    with pytest.raises(UserError, match="random, popular, adversarial"):
        build(THREE, "poplar", random.Random(0))
    with pytest.raises(UserError, match="all objects"):
        build(THREE[:1], "popular", random.Random(0))
    with pytest.raises(UserError, match="needs 4 images"):
        sample_images(THREE, 4, random.Random(0))


def object_of(text: str) -> str:
    words = text.removeprefix("Is there ").split(" in the im")[0]
    return words.split(" ", 1)[1]
