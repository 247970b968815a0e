"""What an embedded model claims in a run, and what predicts it: co-occurrence, visibility."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import permutations

import numpy as np
from sklearn.metrics import roc_auc_score

from halluc.benchmarks import _glyph
from halluc.data import coco_objects as coco
from halluc.evaluation import Evaluation
from halluc.types import Reading
from halluc.world import scene
from halluc.world.scenes import Band

TRAINING_SCENES = 5000


def cooccurrence() -> tuple[dict[tuple[str, str], float], Counter[str]]:
    """Count P(b present | a present) over training scenes, and the scenes with each category."""
    single: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for index in range(TRAINING_SCENES):
        present = set(scene("train", index).categories)
        single.update(present)
        pairs.update(permutations(sorted(present), 2))
    return {(a, b): n / single[a] for (a, b), n in pairs.items()}, single


def affinity(absent: str, present: set[str], given: dict[tuple[str, str], float]) -> float:
    """Return how strongly the objects present suggest an absent one: mean P(absent | present)."""
    return float(np.mean([given.get((other, absent), 0.0) for other in sorted(present)]))


def caption_claims(run: Evaluation) -> Iterator[tuple[bool, str, set[str]]]:
    """Yield, for every scene and absent category, whether the description names it."""
    _, single = cooccurrence()
    for reading in run.scored["glyph_chair"].readings:
        present = set(reading.target["categories"])
        named = set(reading.prediction)
        for category in sorted(set(single) - present):
            yield category in named, category, present


def yes_claims(run: Evaluation) -> Iterator[tuple[bool, str, set[str]]]:
    """Yield, for every absent object that POPE asks for, whether it was claimed."""
    objects = {
        image.image: set(image.objects)
        for image in coco.image_objects(_glyph.files(_glyph.SPLIT, 3).instances)
    }
    seen = set()
    for reading in run.scored["glyph_pope"].readings:
        category = asked_for(reading)
        if reading.target == "no" and (reading.image_id, category) not in seen:
            seen.add((reading.image_id, category))
            yield reading.prediction == "yes", category, objects[reading.image_id]


def auroc(claims: Iterator[tuple[bool, str, set[str]]], given: dict[tuple[str, str], float]) -> str:
    rows = [(claimed, affinity(category, present, given)) for claimed, category, present in claims]
    truth, score = zip(*rows, strict=True)
    return f"{roc_auc_score(truth, score):.3f} ({sum(truth)} of {len(truth)})"


def seen_by_band(run: Evaluation) -> dict[Band, tuple[int, int]]:
    """Count what POPE asks for that is there, and what of it is seen, by how plainly it shows."""
    scenes = {
        one.file_name: one
        for one in (scene(_glyph.SPLIT, index) for index in _glyph.indices(_glyph.SPLIT, 3))
    }
    counts: dict[Band, tuple[int, int]] = {"clear": (0, 0), "hard": (0, 0), "barely": (0, 0)}
    done = set()
    for reading in run.scored["glyph_pope"].readings:
        category = asked_for(reading)
        if reading.target != "yes" or (reading.image_id, category) in done:
            continue
        done.add((reading.image_id, category))
        things = [t for t in scenes[reading.image_id].things if t.category == category]
        band = max(things, key=lambda thing: thing.evidence).band
        asked, seen = counts[band]
        counts[band] = asked + 1, seen + (reading.prediction == "yes")
    return counts


def asked_for(reading: Reading) -> str:
    """Return the category that a question of POPE's asks for."""
    return reading.answer.prompt.split(" in the image")[0].split(" ", 3)[3]
