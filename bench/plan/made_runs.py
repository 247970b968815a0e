"""Finished run folders without a model, of any size and in any number."""

from __future__ import annotations

import random
from pathlib import Path

from halluc.config import DecodingConfig, MethodConfig, ModelConfig
from halluc.scoring.building import build
from halluc.store import Asker, RunFolder, Scored
from halluc.store.scored_run import sample_set, score_run, scoring_of
from halluc.store.scores_file import AskedSample
from halluc.types import Answer, Sample

WHERE = {"halluc": "0", "machine": "made up", "git_hash": None}


def asker(number: int, method: str = "var") -> Asker:
    """Make up an asker; number 0 is the baseline."""
    values = {"keep": number} if number else {}
    name = method if number else "baseline"
    return Asker(
        model=ModelConfig(name="org/model", dtype="float32", device="cpu"),
        model_id="org/model",
        weights="feedbeef00",
        image_processing="CLIPImageProcessor 0000000000",
        method=MethodConfig(name=name, params=values, resolved=values),
        method_source="0123456789",
        decoding=DecodingConfig(),
        engine=1,
        versions={"torch": "2", "transformers": "5"},
    )


def samples_of(benchmark: str, answers: int) -> list[Sample]:
    """Take so many samples of a drawn benchmark, and the rest of the last one's image."""
    found: list[Sample] = []
    for sample in build(benchmark).samples():
        if len(found) >= answers and sample.image_id != found[-1].image_id:
            break
        found.append(sample)
    return found


def made_up(samples: list[Sample], error: float, seed: int) -> list[Answer]:
    """Answer by the truth, but for a share of answers that are wrong."""
    rng = random.Random(seed)
    other = {"yes": "No", "no": "Yes"}
    found = []
    for number, sample in enumerate(samples):
        wrong, target = rng.random() < error, sample.target
        if isinstance(target, str):
            text = other[target] if wrong else target.capitalize()
        else:
            text = target["captions"][0] + " There is a kite." * wrong
        found.append(
            Answer.of(
                sample,
                text=text,
                yes_no=(-rng.random(), -1 - rng.random()),
                image_hash=f"{number % 500:010x}",
                prompt_tokens=640,
                tokens=2,
                forward_passes=2,
                seconds=0.012345678901,
                peak_memory=1_234_567_890,
            )
        )
    return found


def keep(
    folder: Path, number: int, benchmark: str, samples: list[Sample], error: float = 0.2
) -> Scored:
    """Keep a run's answers to samples, and their scores."""
    run = RunFolder.of(folder, asker(number))
    run.create(WHERE)
    answers = made_up(samples, error, number)
    with run.keeping(benchmark, print) as write:
        write(answers)
    return score(run, benchmark, samples, answers)


def score(run: RunFolder, benchmark: str, samples: list[Sample], answers: list[Answer]) -> Scored:
    """Score answers, and keep scores and samples."""
    described = [AskedSample.of(sample) for sample in samples]
    built = build(benchmark)
    asked = sample_set(built, None, {}).keyed(described)
    run.write_samples(asked, described)
    return score_run(run, built, asked, scoring_of(built, {}), answers, WHERE)


def copies(folder: Path, like: Scored, numbers: range) -> None:
    """Give askers of these numbers the samples, answers and scores of a run.

    Files are linked but for the two that name the asker.
    """
    for number in numbers:
        run = RunFolder(folder / asker(number).folder_name, asker(number))
        run.create(WHERE)
        for file in like.run.path.glob("*.jsonl"):
            (run.path / file.name).hardlink_to(file)
        scores = like.scores.model_copy(update={"asker": run.asker.key}).sealed()
        name = f"scores_{scores.asked.benchmark}_{scores.key}.json"
        (run.path / name).write_text(scores.model_dump_json())
