"""COCO's annotations are checked before they are indexed."""

from __future__ import annotations

from functools import reduce
from typing import Any

import pytest

from halluc.data.coco_objects import captions, image_objects, load, objects
from halluc.errors import UserError


@pytest.fixture
def instances() -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "7.jpg"}],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [{"id": n, "image_id": 7, "category_id": 1} for n in (1, 2)],
    }


def test_objects_of_images(instances: dict[str, Any]) -> None:
    assert objects(load(instances)) == {7: ["dog", "dog"]}
    assert image_objects(load(instances))[0].objects == ("dog",)


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        (("images",), {}, "'images' is malformed"),
        (("images", 0), [], "images 0 is malformed"),
        (("images", 0, "id"), "7", "images 0: 'id' is '7', not a whole number"),
        (("images", 0, "file_name"), 7, "images 0: 'file_name' is 7, not a text"),
        (("images",), [{"id": 7, "file_name": "a"}] * 2, "images 1: id 7 again"),
        (("categories",), None, "'categories' is malformed"),
        (("categories", 0), {"id": 1}, "categories 0: needs 'name'"),
        (("annotations", 1, "category_id"), 5, "annotations 1: has no category 5"),
        (("annotations", 1, "category_id"), [], r"annotations 1: 'category_id' is \[\], not a"),
        (("annotations", 1), {"id": 3, "image_id": 7}, "annotations 1: has no 'category_id'"),
        (("annotations", 1, "caption"), 5, "annotations 1: 'caption' is 5, not a text"),
    ],
)
def test_malformed_annotations_name_their_record(
    place: tuple[str | int, ...], value: object, complaint: str, instances: dict[str, Any]
) -> None:
    whole: Any = instances
    inner = reduce(lambda part, key: part[key], place[:-1], whole)
    inner[place[-1]] = value
    with pytest.raises(UserError, match=complaint) as refused:
        load(instances)
    assert "\n" not in str(refused.value)


def test_captions_are_not_taken_for_objects_nor_objects_for_captions(
    instances: dict[str, Any],
) -> None:
    with pytest.raises(UserError, match="COCO's captions, image 7: has no 'caption'"):
        captions(load(instances))
    instances["annotations"] = [{"id": 1, "image_id": 7, "caption": "A dog."}]
    with pytest.raises(UserError, match="annotations 0: has no 'category_id'"):
        load(instances)
    del instances["categories"]
    assert captions(load(instances)) == {7: ["A dog."]}
    with pytest.raises(UserError, match="COCO's instances, image 7: has no 'category_id'"):
        objects(load(instances))
