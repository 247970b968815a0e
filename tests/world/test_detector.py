"""The detector of drawn scenes: what it is taught, and what it finds in scenes it never saw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from halluc.models.object_detector import Box, Detector, find_detector
from halluc.world import DETECTOR, NAMES, render, scene
from halluc.world.scenes import Scene, Thing, in_view
from halluc.world.training import train_detector
from halluc.world.training.architectures.base import normalise
from halluc.world.training.train_detector import (
    STAGE,
    DetectorTrainer,
    build_detector,
    build_processor,
    labels,
    overlaps,
    save,
    shown,
    take_tower,
)


def drawn(*things: Thing) -> Scene:
    return Scene("by hand", 0, "street", tuple(in_view(things)))


def test_overlaps_by_hand() -> None:
    one = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 1, 1]])
    other = torch.tensor([[1.0, 0, 3, 2], [0, 0, 1, 1], [2, 0, 3, 1]])
    iou, generalised = overlaps(one, other)
    assert iou.tolist() == pytest.approx([2 / 6, 1, 0])
    # around the first two 3 x 2 = 6, which they fill; around the last 3 x 1, of which 1 is empty
    assert generalised.tolist() == pytest.approx([2 / 6, 1, 0 - 1 / 3])


def test_each_patch_is_taught_what_shows_most_in_it() -> None:
    behind = Thing("bed", "red", (16, 32, 64, 48), False, 1.0)
    before = Thing("dog", "blue", (32, 48, 24, 20), False, 1.0)
    one = drawn(behind, before)
    bed, dog = one.things
    masks = shown(one)
    assert [int(mask.sum()) for mask in masks] == [bed.area, dog.area]
    assert not (masks[0] & masks[1]).any()
    taught = labels([one])
    assert taught.boxes.shape == (1, 64, 4)
    found = [(row, column) for row in range(8) for column in range(8)]
    for patch, (row, column) in enumerate(found):
        shares = [
            float(mask[16 * row : 16 * row + 16, 16 * column : 16 * column + 16].mean())
            for mask in masks
        ]
        here = {
            NAMES.index(t.category) for t, share in zip(one.things, shares, strict=True) if share
        }
        assert set(taught.others[0, patch].nonzero()[:, 0].tolist()) == here
        number = int(np.argmax(shares))
        if shares[number] < 0.1:
            continue
        thing = one.things[number]
        left, top, wide, high = (side / 128 for side in thing.bbox)
        if shares[number] > 0.1 and abs(shares[0] - shares[1]) > 0.01:
            assert int(taught.category[0, patch]) == NAMES.index(thing.category)
            assert taught.boxes[0, patch].tolist() == pytest.approx(
                [left, top, left + wide, top + high]
            )
    assert (taught.category == -1).any()


def test_a_small_thing_has_a_patch_of_its_own() -> None:
    bed = Thing("bed", "red", (0, 0, 96, 96), False, 1.0)
    apple = Thing("apple", "green", (40, 40, 5, 5), False, 1.0)
    taught = labels([drawn(bed, apple)])
    assert NAMES.index("apple") in taught.category[0].tolist()


def test_it_starts_with_glyphs_tower_and_every_part_moves(tmp_path: Path) -> None:
    training = DetectorTrainer("detector", tmp_path)
    fresh = build_detector(len(training.tokenizer))
    take_tower(fresh)
    before = {name: p.detach().clone() for name, p in training.model.named_parameters()}
    name = "owlv2.vision_model.encoder.layers.0.mlp.fc1.weight"
    assert torch.equal(dict(fresh.named_parameters())[name], before[name])
    losses = training._learn(replace(STAGE, size=2))
    assert all(torch.isfinite(torch.tensor(value)) for value in losses.values())
    moved = {n for n, p in training.model.named_parameters() if not torch.equal(p, before[n])}
    still = {n for n in before.keys() - moved if "objectness" not in n}
    assert len(still) < 0.2 * len(before)


def test_training_computes_what_the_saved_detector_computes(tmp_path: Path) -> None:
    training = DetectorTrainer("detector", tmp_path / "work")
    save(training.model, tmp_path / "saved")
    detector = Detector(find_detector(str(tmp_path / "saved")), "cpu")
    training.model.load_state_dict(detector.model.state_dict())  # rounded to float16
    training.model.eval()
    image = render(scene("test", 3))
    words = ["dog", "dining table", "people"]
    ids = build_processor().tokenizer(words, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits, boxes = training._find(normalise([image]), ids)
        inputs = detector.processor(images=image, text=[words], return_tensors="pt")
        stock = detector.model(**inputs)
    assert torch.allclose(logits, stock.logits, atol=1e-3)
    assert torch.allclose(boxes, stock.pred_boxes, atol=1e-4)


def test_the_shipped_detector_is_small() -> None:
    size = sum(path.stat().st_size for path in DETECTOR.rglob("*") if path.is_file())
    assert 10**6 < size <= 3 * 10**6


def truths(one: Scene) -> dict[str, list[Box]]:
    """Boxes of all that is not barely visible."""
    found: dict[str, list[Box]] = {}
    for thing in one.things:
        if thing.band != "barely":
            left, top, wide, high = thing.bbox
            box = Box(left, top, left + wide, top + high, 1.0)
            found.setdefault(thing.category, []).append(box)
    return found


def matched(found: list[Box], wanted: list[Box]) -> list[bool]:
    """Whether each box, the surest first, is around a thing that no surer one is around."""
    left, hits = list(wanted), []
    for box in found:
        best = max(left, key=box.overlap, default=None)
        hit = best is not None and box.overlap(best) >= 0.5
        hits.append(hit)
        if hit and best is not None:
            left.remove(best)
    return hits


def average_precision(scored: list[tuple[float, bool]], total: int) -> float:
    """The area under precision over recall, precision made to fall only (PASCAL VOC 2010)."""
    hits = np.array([hit for _, hit in sorted(scored, key=lambda pair: -pair[0])], float)
    precision = hits.cumsum() / np.arange(1, len(hits) + 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float((falling * hits).sum() / total) if len(hits) else 0.0


def test_average_precision_by_hand() -> None:
    # right, wrong, right of 4: precision 1, 1/2, 2/3; (1 + 2/3) / 4
    scored = [(0.9, True), (0.5, False), (0.4, True)]
    assert average_precision(scored, 4) == pytest.approx((1 + 2 / 3) / 4)
    one, far = Box(0, 0, 10, 10, 1), Box(50, 50, 60, 60, 1)
    assert matched([one, one, far], [one]) == [True, False, False]


def measured(count: int, threshold: float) -> tuple[float, float, float, float]:
    """Mean AP at IoU .5 over categories; recall, precision at a threshold, and chance found."""
    detector = Detector(find_detector("glyph"), "cpu")
    scored: dict[str, list[tuple[float, bool]]] = {name: [] for name in NAMES}
    totals = dict.fromkeys(NAMES, 0)
    for index in range(count):
        one = scene("detector-test", index)
        wanted, image = truths(one), render(one)
        for name in NAMES:
            boxes = wanted.get(name, [])
            barely = name in one.categories and not boxes
            found = [] if barely else detector.detect(image, name, 0.05)
            hits = matched(found, boxes)
            scored[name] += [(b.score, hit) for b, hit in zip(found, hits, strict=True)]
            totals[name] += len(boxes)
    known = [name for name in NAMES if totals[name]]
    mean = sum(average_precision(scored[name], totals[name]) for name in known) / len(known)
    sure = [hit for name in NAMES for score, hit in scored[name] if score > threshold]
    every = [hit for name in NAMES for _, hit in scored[name]]
    total = sum(totals.values())
    return mean, sum(sure) / total, sum(sure) / max(1, len(sure)), sum(every) / total


def test_it_finds_the_plainest_thing() -> None:
    detector = Detector(find_detector("glyph"), "cpu")
    right, rounds = 0, 20
    for index in range(rounds):
        one = scene("detector-plain", index)
        thing = max(one.things, key=lambda thing: thing.evidence)
        found = detector.detect(render(one), thing.category, 0.0)
        right += any(matched(found[:1], truths(one)[thing.category]))
    assert right > rounds / 2
    assert train_detector.PATCH == 16


@pytest.mark.slow
def test_it_finds_things_in_fresh_scenes() -> None:
    mean, recall, precision, every = measured(150, 0.3)
    print(
        f"AP50 {mean:.3f}; above .3 recall {recall:.3f}, precision {precision:.3f}; all {every:.3f}"
    )
    assert mean > 0.3
