from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from halluc.errors import UserError
from halluc.scoring import bootstrap as intervals
from halluc.scoring.base import Benchmark
from halluc.scoring.card import BenchmarkCard, Metric
from halluc.scoring.confusion_rates import ratio
from halluc.scoring.scores import score
from halluc.types import Answer, Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from halluc.scoring.base import Totals


class Accuracy(Benchmark):
    """Right answers, and right answers among those that say yes."""

    name = "accuracy"
    card = BenchmarkCard("", "", "", "open", (Metric("accuracy"), Metric("precision")))

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        yield from ()

    def predict(self, answer: Answer) -> Any:
        return answer.text or None

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        right = float(sum(r.prediction == r.target for r in readings))
        yes = [r for r in readings if r.prediction == "yes"]
        counts = {"n": float(len(readings)), "right": right}
        if yes:
            counts |= {"yes": float(len(yes)), "hits": sum(r.target == "yes" for r in yes)}
        return counts

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        return {
            "accuracy": ratio(totals["right"], totals["n"]),
            "precision": ratio(totals["hits"], totals["yes"]),
        }


def answers(texts: Sequence[str], questions: int = 2) -> list[Answer]:
    return [
        Answer(f"{i:05d}", f"image{i // questions:05d}", "all", "", "yes", text=text)
        for i, text in enumerate(texts)
    ]


BENCHMARK = Accuracy()
MIXED = answers(["yes", "no", "yes", "yes", "", "no", "no", "yes"])


def test_values_by_hand() -> None:
    scores = score(BENCHMARK, MIXED)
    assert scores.values["accuracy"].value == 0.5
    assert (scores.n, scores.n_images, scores.failed, scores.unparseable) == (8, 4, 0, 1)
    assert list(scores.values) == ["accuracy", "precision"]
    assert scores.totals == {"n": 8, "right": 4, "yes": 4, "hits": 4}


def test_failed_answers_are_in_no_count() -> None:
    failed = [replace(MIXED[1], status="failed", text=""), *MIXED[:1], *MIXED[2:]]
    scores = score(BENCHMARK, failed)
    assert scores.values["accuracy"].value == 4 / 7
    assert (scores.n, scores.failed, scores.unparseable) == (7, 1, 1)


def test_the_order_of_answers_cannot_matter() -> None:
    assert score(BENCHMARK, MIXED) == score(BENCHMARK, MIXED[::-1])
    once, again = score(BENCHMARK, MIXED, draws=9), score(BENCHMARK, MIXED, draws=9, seed=1)
    assert once != again


def test_images_are_resampled_and_not_questions() -> None:
    rng = np.random.default_rng(0)
    per_image = rng.random(400) < 0.7
    by_image = answers(["yes" if ok else "no" for ok in per_image for _ in range(4)], 4)
    interval = score(BENCHMARK, by_image).values["accuracy"]
    p = per_image.mean()
    normal = 1.96 * math.sqrt(p * (1 - p) / 400)  # 400 images, not 1600 questions
    assert interval.high - interval.low == pytest.approx(2 * normal, rel=0.06)


def test_an_interval_is_the_quantile_of_the_draws() -> None:
    counts = np.array([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    drawn = intervals.resample(
        counts, ["n", "right"], lambda t: {"accuracy": t["right"] / t["n"]}, 500, 3
    )["accuracy"]
    weights = np.concatenate(list(intervals.weights(3, 500, 3)))
    assert weights.shape == (500, 3)
    assert (weights.sum(axis=1) == 3).all()
    assert drawn.tolist() == ((weights[:, 0] + weights[:, 2]) / 3).tolist()
    interval = intervals.percentile(2 / 3, drawn)
    assert interval.low == np.quantile(drawn, 0.025)
    assert interval.stderr == drawn.std()


def test_weights_do_not_depend_on_how_they_are_chunked(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(intervals.weights(7, 100, 0)))
    monkeypatch.setattr(intervals, "CELLS", 50)
    chunks = list(intervals.weights(7, 100, 0))
    assert len(chunks) > 10
    assert (np.concatenate(chunks) == whole).all()


def test_every_image_is_drawn_equally_often() -> None:
    weights = np.concatenate(list(intervals.weights(10, 20_000, 0)))
    assert weights.mean(axis=0) == pytest.approx(np.ones(10), abs=0.03)
    assert weights.var(axis=0) == pytest.approx(np.full(10, 0.9), abs=0.05)


def test_undefined_metrics_are_nan_and_have_no_interval() -> None:
    values = score(BENCHMARK, answers(["no", "no"])).values
    assert math.isnan(values["precision"].value)
    assert math.isnan(values["precision"].low)


def test_errors() -> None:
    with pytest.raises(UserError, match="'00000' is answered more than once"):
        score(BENCHMARK, [MIXED[0], MIXED[0]])
    with pytest.raises(UserError, match="none of 0 answers"):
        score(BENCHMARK, [])
    with pytest.raises(UserError, match="unknown protocol 'vcd'"):
        Accuracy(protocol="vcd")


def test_draws_are_optional() -> None:
    values = score(BENCHMARK, MIXED, draws=0).values
    assert values["accuracy"].value == 0.5
    assert math.isnan(values["accuracy"].low)
