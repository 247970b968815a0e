"""The world's annotations are COCO's, as far as pycocotools can tell."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pycocotools.coco import COCO

from halluc.world import coco, scene, true_captions
from halluc.world.language import SYNONYMS


def test_pycocotools_reads_both_files(tmp_path: Path) -> None:
    instances, captions = coco("test", range(20))
    for name, content in (("instances", instances), ("captions", captions)):
        (tmp_path / name).write_text(json.dumps(content))
    boxes, texts = COCO(str(tmp_path / "instances")), COCO(str(tmp_path / "captions"))
    assert boxes.getImgIds() == texts.getImgIds() == list(range(1, 21))
    one = scene("test", 3)
    found = boxes.loadAnns(boxes.getAnnIds(imgIds=[one.image_id]))
    names = [boxes.loadCats(note["category_id"])[0]["name"] for note in found]
    assert names == [thing.category for thing in one.things]
    for note, thing in zip(found, one.things, strict=True):
        assert note["bbox"] == list(thing.bbox)
        assert note["area"] == thing.area
        assert boxes.annToMask(note).shape == (128, 128)
        assert boxes.annToMask(note).sum() > 0
    assert len(texts.getAnnIds(imgIds=[one.image_id])) == 5


def test_captions_name_nothing_absent() -> None:
    words = {word: name for name, several in SYNONYMS.items() for word in several}
    longest = sorted(words, key=len, reverse=True)
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, longest)) + r")\b")
    for index in range(50):
        one = scene("test", index)
        for caption in true_captions(one):
            named = {words[word] for word in pattern.findall(caption.lower())}
            assert named <= set(one.categories), caption
