"""A benchmark asked of a tiny random model, and scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halluc.config import DecodingConfig
from halluc.decoding import answer_samples
from halluc.methods.baseline import Baseline
from halluc.scoring.scores import score
from tests.kit.families import llava

if TYPE_CHECKING:
    from halluc.scoring.base import Benchmark
    from halluc.scoring.scores import Scores


def scored(benchmark: Benchmark, limit: int | None = None) -> Scores:
    """Ask all questions about the first `limit` images, and score the answers."""
    method = Baseline(Baseline.Params())
    answers = answer_samples(llava(), method, benchmark.samples(limit), DecodingConfig())
    return score(benchmark, answers, draws=20)
