"""The embedded model hallucinates as real ones do: a fresh run on 300 held-out scenes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bench.why import affinity, caption_claims, cooccurrence, yes_claims
from halluc.config import DecodingConfig, RunConfig
from halluc.decoding import answer_samples
from halluc.evaluation import Evaluation, evaluate
from halluc.methods.baseline import Baseline
from halluc.models import load_model
from halluc.scoring.base import REGISTRY
from halluc.scoring.scores import score
from halluc.types import Sample

SCENES = 300
NAMES = ("glyph_pope", "glyph_chair", "glyph_mme")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    config = RunConfig(benchmarks=NAMES, limit=SCENES)
    return evaluate(config, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def values(run: Evaluation) -> dict[str, float]:
    return {
        f"{name}/{metric}": interval.value
        for name, scores in run.scores.items()
        for metric, interval in scores.values.items()
        if interval.value is not None
    }


def test_every_answer_can_be_read(run: Evaluation) -> None:
    assert all(s.failed == 0 and s.n_images == SCENES for s in run.scores.values())
    assert run.scores["glyph_pope"].unparseable == 0


def test_pope(values: dict[str, float]) -> None:
    random, adversarial = (values[f"glyph_pope/{s}/accuracy"] for s in ("random", "adversarial"))
    assert 0.85 <= random <= 0.97
    assert random - adversarial >= 0.03


def test_chair(values: dict[str, float]) -> None:
    assert 0.08 <= values["glyph_chair/chair_i"] <= 0.30
    assert values["glyph_chair/recall"] >= 0.60


@pytest.mark.parametrize("subtask", ["count", "color", "position"])
def test_mme_is_well_above_chance(subtask: str, values: dict[str, float]) -> None:
    assert values[f"glyph_mme/{subtask}/accuracy"] >= 0.65


def test_without_its_image_it_knows_little() -> None:
    benchmark = REGISTRY.get("glyph_pope")()
    blank = Image.new("RGB", (128, 128), (128, 128, 128))
    samples: Iterator[Sample] = (
        replace(sample, load_image=lambda: blank)
        for sample in benchmark.samples(SCENES)
        if sample.group == "random"
    )
    greedy = Baseline(Baseline.Params())
    answers = list(answer_samples(load_model("glyph"), greedy, samples, DecodingConfig(), 100))
    assert score(benchmark, answers, draws=0).values["random/accuracy"].value <= 0.60


@pytest.mark.parametrize("claims", [yes_claims, caption_claims])
def test_cooccurrence_predicts_what_it_makes_up(claims, run: Evaluation) -> None:  # type: ignore[no-untyped-def]
    from sklearn.metrics import roc_auc_score

    given, _ = cooccurrence()
    rows = [
        (claimed, affinity(category, present, given)) for claimed, category, present in claims(run)
    ]
    truth, scores = zip(*rows, strict=True)
    assert sum(truth) > 30
    assert roc_auc_score(truth, scores) > 0.7


def test_the_shipped_model_is_small() -> None:
    import halluc.world

    folder = Path(halluc.world.__file__).parent / "glyph"
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 8_000_000
