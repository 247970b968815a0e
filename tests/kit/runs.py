"""Finished run folders without a model: answers made up, scored and stored as a run's are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from halluc.config import DecodingConfig, MethodConfig, ModelConfig, RunConfig
from halluc.scoring.building import build
from halluc.scoring.scores import parsed, score
from halluc.store import Cost, RunFolder
from halluc.store.results_file import results
from halluc.types import Answer, Sample

VERSIONS = {
    "halluc": "0.1.0",
    "source": "0123456789",
    "weights": "feedbeef00",
    "image_processing": "CLIPImageProcessor 0000000000",
    "torch": "2.13.0",
    "transformers": "5.23.0",
}
WHERE = {"python": "3.11", "machine": "x86_64", "git_hash": None}


def write_run(
    folder: Path,
    method: str = "baseline",
    error: float = 0.2,
    limit: int = 12,
    benchmarks: tuple[str, ...] = ("glyph_mme", "glyph_chair"),
    seed: int = 0,
    model: str = "org/model",
    params: dict[str, Any] | None = None,
    short: bool = False,
    decoding: DecodingConfig | None = None,
) -> RunFolder:
    """Write a run.

    Args:
        error: Share of answers that are wrong; the same seed errs on the same samples first.
        short: Leave every description's second half away.
    """
    config = RunConfig(
        model=ModelConfig(name=model, dtype="float32", device="cpu"),
        method=MethodConfig(name=method, params=params or {}, resolved=params or {}),
        benchmarks=benchmarks,
        limit=limit,
        decoding=decoding or DecodingConfig(),
        versions=VERSIONS,
    )
    run = RunFolder.open(folder, config, WHERE)
    built = [build(name) for name in benchmarks]
    scores, costs = {}, {}
    for benchmark in built:
        asked = benchmark.samples(limit)
        answers = parsed(benchmark, _answers(asked, error, random.Random(seed), short))
        list(run.keep(benchmark.name, answers))
        scores[benchmark.name] = score(benchmark, answers)
        costs[benchmark.name] = Cost.of(answers, 1_000_000)
    run.write_results(results(config, built, scores, costs, {}, WHERE))
    return run


def _answers(
    samples: Iterator[Sample], error: float, rng: random.Random, short: bool
) -> Iterator[Answer]:
    for sample in samples:
        wrong = rng.random() < error
        answer = Answer(
            id=sample.id,
            image_id=sample.image_id,
            group=sample.group,
            prompt=sample.prompt,
            target=sample.target,
            tokens=3,
            prompt_tokens=40,
            forward_passes=3,
            seconds=0.01,
        )
        if isinstance(sample.target, str):
            text = sample.target if not wrong else {"yes": "no", "no": "yes"}[sample.target]
            yield replace(answer, text=text.capitalize())
            continue
        text = sample.target["captions"][0] + (" There is an elephant and a kite." if wrong else "")
        words = text.split()
        yield replace(answer, text=" ".join(words[: len(words) // 2]) if short else text)
