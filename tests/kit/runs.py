"""Finished run folders without a model: answers made up, scored and stored as a run's are."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from halluc.config import DecodingConfig, MethodConfig, ModelConfig
from halluc.scoring.base import Benchmark
from halluc.scoring.building import build
from halluc.store import Asker, RunFolder, Scored
from halluc.store.scored_run import sample_set, score_run, scoring_of
from halluc.store.scores_file import AskedSample
from halluc.types import Answer, Sample

VERSIONS = {"torch": "2.13.0", "transformers": "5.23.0"}
WHERE = {"halluc": "0.1.0", "python": "3.11", "machine": "x86_64", "git_hash": None}


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
    asker = Asker(
        model=ModelConfig(name=model, dtype="float32", device="cpu"),
        model_id=model,
        weights="feedbeef00",
        image_processing="CLIPImageProcessor 0000000000",
        method=MethodConfig(name=method, params=params or {}, resolved=params or {}),
        method_source="0123456789",
        decoding=decoding or DecodingConfig(),
        engine=1,
        versions=VERSIONS,
    )
    run = RunFolder.of(folder, asker)
    run.create(WHERE)
    for name in benchmarks:
        benchmark = build(name)
        samples = list(benchmark.samples(limit))
        answers = list(_answers(iter(samples), error, random.Random(seed), short))
        keep_scored(run, benchmark, [AskedSample.of(sample) for sample in samples], answers, limit)
    return run


def keep_scored(
    run: RunFolder,
    benchmark: Benchmark,
    samples: list[AskedSample],
    answers: list[Answer],
    limit: int | None = None,
) -> Scored:
    """Keep samples, the answers to them, and their scores in a run's folder."""
    asked = sample_set(benchmark, limit, {}).keyed(samples)
    run.write_samples(asked, samples)
    with run.keeping(benchmark.name, print) as keep:
        keep(answers)
    return score_run(run, benchmark, asked, scoring_of(benchmark, {}), answers, WHERE)


def asked_by(answers: Iterable[Answer]) -> list[AskedSample]:
    """Return the samples that answers are to."""
    return [AskedSample.answered_by(answer) for answer in answers]


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
            peak_memory=1_000_000,
            max_new_tokens=sample.max_new_tokens,
        )
        if isinstance(sample.target, str):
            text = sample.target if not wrong else {"yes": "no", "no": "yes"}[sample.target]
            yield replace(answer, text=text.capitalize())
            continue
        text = sample.target["captions"][0] + (" There is an elephant and a kite." if wrong else "")
        words = text.split()
        yield replace(answer, text=" ".join(words[: len(words) // 2]) if short else text)
