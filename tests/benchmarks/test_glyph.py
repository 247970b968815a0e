from __future__ import annotations

import subprocess
import sys
from collections import Counter
from itertools import chain, pairwise

import pytest

from halluc.scoring.base import REGISTRY, Benchmark
from halluc.scoring.scores import Scores, score
from halluc.types import Answer, Sample
from halluc.world.rendering import render
from halluc.world.scenes import Scene, scene

NAMES = ("glyph_pope", "glyph_chair", "glyph_mme")


@pytest.fixture(scope="module")
def benchmarks() -> dict[str, Benchmark]:
    return {name: REGISTRY.get(name)() for name in NAMES}


def scene_of(sample: Sample) -> Scene:
    found = scene("test", int(sample.image_id.removesuffix(".png").rsplit("_", 1)[1]) - 1)
    assert found.file_name == sample.image_id
    return found


def reply(samples: list[Sample], texts: list[str]) -> list[Answer]:
    return [
        Answer(s.id, s.image_id, s.group, s.prompt, s.target, text=text)
        for s, text in zip(samples, texts, strict=True)
    ]


def value(scores: Scores, name: str) -> float:
    return scores.values[name].value


@pytest.mark.parametrize("name", NAMES)
def test_a_limit_counts_images_and_changes_no_sample(
    benchmarks: dict[str, Benchmark], name: str
) -> None:
    few, more = list(benchmarks[name].samples(3)), list(benchmarks[name].samples(7))
    assert few == more[: len(few)]
    assert len({sample.image_id for sample in few}) == 3
    assert len({sample.id for sample in more}) == len(more)
    changes = sum(a.image_id != b.image_id for a, b in pairwise(more))
    assert changes == 6  # the questions of an image follow one another


@pytest.mark.parametrize("name", NAMES)
def test_metrics_are_those_of_the_card(benchmarks: dict[str, Benchmark], name: str) -> None:
    samples = list(benchmarks[name].samples(5))
    scores = score(benchmarks[name], reply(samples, ["yes"] * len(samples)), draws=20)
    assert set(scores.values) == {metric.name for metric in benchmarks[name].card.metrics}
    assert scores.n_images == 5


def test_samples_draw_their_scene(benchmarks: dict[str, Benchmark]) -> None:
    sample = next(iter(benchmarks["glyph_pope"].samples(1)))
    image = sample.load_image()
    assert image.mode == "RGB"
    assert image.tobytes() == render(scene_of(sample)).tobytes()


def test_pope_asks_by_the_authors_construction(benchmarks: dict[str, Benchmark]) -> None:
    samples = list(benchmarks["glyph_pope"].samples())
    assert len(samples) == 500 * 18
    assert Counter((s.group, s.target) for s in samples) == {
        (group, label): 1500
        for group in ("random", "popular", "adversarial")
        for label in ("yes", "no")
    }
    for sample in samples[::37]:
        named = sample.prompt.removesuffix(" in the image?").split(" ", 3)[3]
        assert (named in scene_of(sample).categories) == (sample.target == "yes")
    negatives = {
        group: Counter(s.prompt for s in samples if s.group == group and s.target == "no")
        for group in ("random", "popular")
    }
    assert len(negatives["popular"]) < 15 < len(negatives["random"])


def test_pope_by_hand(benchmarks: dict[str, Benchmark]) -> None:
    samples = list(benchmarks["glyph_pope"].samples(2))
    texts = ["Yes" if s.group == "random" or s.target == "yes" else "No." for s in samples]
    scores = score(benchmarks["glyph_pope"], reply(samples, texts), draws=0)
    assert value(scores, "random/accuracy") == 0.5
    assert value(scores, "random/f1") == pytest.approx(2 / 3)
    assert value(scores, "random/yes_ratio") == 1
    assert value(scores, "adversarial/f1") == 1
    assert value(scores, "f1") == pytest.approx((2 / 3 + 1 + 1) / 3)


def test_chair_by_hand(benchmarks: dict[str, Benchmark]) -> None:
    samples = list(benchmarks["glyph_chair"].samples(4))
    objects = [list(scene_of(sample).categories) for sample in samples]
    absent = next(
        name for name in ("toilet", "surfboard", "oven") if name not in {*chain(*objects)}
    )
    texts = [
        f"There is a {objects[0][0]}.",
        f"There is a {objects[1][0]} and a {objects[1][0]} and a {absent}.",
        f"Two {absent}s! Or one {absent}.",
        "The scene looks calm.",
    ]
    scores = score(benchmarks["glyph_chair"], reply(samples, texts), draws=0)
    assert value(scores, "chair_s") == 2 / 4
    assert value(scores, "chair_i") == pytest.approx(3 / 6)
    assert value(scores, "recall") == pytest.approx(2 / sum(map(len, objects)))
    assert value(scores, "precision") == pytest.approx(2 / 4)
    assert value(scores, "objects") == 6 / 4


def test_chair_finds_nothing_wrong_with_true_captions(benchmarks: dict[str, Benchmark]) -> None:
    samples = list(benchmarks["glyph_chair"].samples(60))
    texts = [sample.target["captions"][0] for sample in samples]
    scores = score(benchmarks["glyph_chair"], reply(samples, texts), draws=0)
    assert value(scores, "chair_s") == value(scores, "chair_i") == 0
    assert value(scores, "recall") == 1


def test_mme_asks_what_is_so_and_what_is_not(benchmarks: dict[str, Benchmark]) -> None:
    samples = list(benchmarks["glyph_mme"].samples(100))
    groups = Counter((sample.group, sample.target) for sample in samples)
    assert {group for group, _ in groups} == {"existence", "count", "position", "color"}
    for group in ("existence", "count", "position", "color"):
        assert groups[group, "yes"] == groups[group, "no"] > 50
    for sample in samples:
        assert sample.prompt.endswith(" Please answer yes or no.")
        if sample.group == "existence":
            named = sample.prompt.split(" in this image?")[0].split(" ", 3)[3]
            assert (named in scene_of(sample).categories) == (sample.target == "yes")
        if sample.group == "color":
            words = sample.prompt.split("?")[0].removeprefix("Is the ").split()
            named, hue = " ".join(words[:-1]), words[-1]
            (colour,) = (t.colour for t in scene_of(sample).things if t.category == named)
            assert (colour == hue) == (sample.target == "yes")


def test_mme_by_hand(benchmarks: dict[str, Benchmark]) -> None:
    samples = list(benchmarks["glyph_mme"].samples(10))
    first = samples[0].image_id
    texts = [
        s.target
        if s.group == "existence" or (s.group == "count" and s.image_id == first)
        else "Yes"
        for s in samples
    ]
    scores = score(benchmarks["glyph_mme"], reply(samples, texts), draws=0)
    assert value(scores, "existence/score") == 200
    assert value(scores, "position/score") == value(scores, "color/score") == 50
    n = sum(s.group == "count" for s in samples) / 2
    assert value(scores, "count/score") == pytest.approx(100 * (n + 1) / (2 * n) + 100 / n)
    assert value(scores, "total") == pytest.approx(300 + value(scores, "count/score"))


def test_listing_benchmarks_loads_no_heavy_library() -> None:
    code = (
        "import sys; from halluc.scoring.base import REGISTRY; REGISTRY.names();"
        "print([m for m in ('torch', 'numpy', 'PIL', 'pycocotools') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
