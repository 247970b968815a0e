"""Recorded runs: run folders of answers that were not asked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.config import DecodingConfig, MethodConfig, ModelConfig
from halluc.provenance import where
from halluc.store.asker import Asker
from halluc.store.run_folder import RunFolder
from halluc.store.scored_run import Scored, sample_set, score_run, scoring_of
from halluc.store.scores_file import AskedSample

if TYPE_CHECKING:
    from halluc.scoring.base import Benchmark
    from halluc.store.record import Record
    from halluc.types import Answer

UNKNOWN = "not stated"


def recorded_asker(record: Record, model: str, method: str, decoding: DecodingConfig) -> Asker:
    """Describe who gave recorded answers; what nobody states is "not stated".

    Args:
        record: What is known of the answers.
        model: The model, by the name that boards show.
        method: The method, by halluc's name for it where it has one; "baseline" for none.
        decoding: How tokens were chosen; of no meaning where the record does not state it.
    """
    return Asker(
        model=ModelConfig(name=model),
        model_id=model,
        weights=UNKNOWN,
        image_processing=UNKNOWN,
        method=MethodConfig(name=method),
        method_source=UNKNOWN,
        decoding=decoding.model_copy(update={"max_new_tokens": None}),
        engine=0,
        versions={},
        record=record,
    )


def keep_recorded(
    output_dir: Path,
    asker: Asker,
    benchmark: Benchmark,
    answers: Sequence[Answer],
    options: Mapping[str, Any],
) -> Scored:
    """Put recorded answers into a run folder, and score them.

    Args:
        output_dir: Where run folders are.
        asker: Made by `recorded_asker`.
        benchmark: What the answers are to; it has read them, and may be narrowed to their splits.
        answers: With their targets, as `Benchmark.read_answers` gives them.
        options: Those the benchmark was built with.

    Raises:
        UserError: If the folder cannot be written to, or nothing can be scored.
    """
    run = RunFolder.of(output_dir, asker)
    run.create(where())
    with run.keeping(benchmark.name, lambda _: None) as keep:
        known = {answer.key for answer in run.answers(benchmark.name)}
        keep([answer for answer in answers if answer.key not in known])
    # by id: published files of the same questions are in any order
    in_order = sorted(answers, key=lambda answer: answer.id)
    samples = [AskedSample.answered_by(answer) for answer in in_order]
    asked = sample_set(benchmark, None, options).model_copy(update={"dataset_revision": UNKNOWN})
    asked = asked.keyed(samples)
    run.write_samples(asked, samples)
    scoring = scoring_of(benchmark, options)
    return score_run(run, benchmark, asked, scoring, answers, where(), paths=options)
