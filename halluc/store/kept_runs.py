"""What is kept in run folders: how far each is, what can go, and whether it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from halluc.errors import UserError
from halluc.lines_file import owner_of, read_lines
from halluc.store.crosscheck_file import crosscheck_path, find_crosscheck
from halluc.store.matching_answers import match_answers
from halluc.store.run_folder import RunFolder, read_answer
from halluc.store.scored_run import Scored, find_scored
from halluc.store.scores_file import AskedSample, SampleSet


@dataclass(frozen=True)
class Progress:
    """How far a run is with a set of samples.

    Attributes:
        asked: The samples.
        total, answered, failed: Samples, those with an answer, and those whose answer failed.
        scored: The protocols they are scored by.
        writers: The processes that write answers now, with the file of each.
    """

    asked: SampleSet
    total: int
    answered: int
    failed: int
    scored: list[str]
    writers: list[str]


def progress(run: RunFolder) -> Iterator[Progress]:
    """Say how far a run is with all that it was asked.

    Raises:
        UserError: If a file is broken.
    """
    scores = [(one.scores.asked.key, one.scores.scoring.protocol) for one in find_scored(run)]
    for asked, samples in run.sample_sets():
        answers = match_answers(run.answers(asked.benchmark), samples)
        found = [answer.status for answer in answers.values()]
        locked = sorted(run.path.glob(f"answers_{asked.benchmark}*.lock"))
        writers = [(path.name, owner_of(path.with_suffix(""))) for path in locked]
        yield Progress(
            asked=asked,
            total=len(samples),
            answered=len(found) - found.count("failed"),
            failed=found.count("failed"),
            scored=[protocol for key, protocol in scores if key == asked.key],
            writers=[f"{owner} ({name.removesuffix('.lock')})" for name, owner in writers],
        )


def problems(run: RunFolder) -> Iterator[str]:
    """Yield what is wrong with a run's files, a line each.

    Broken lines, answers that are there twice, edited files, scores without their readings or
    answers, locks that nobody holds.
    """
    files = sorted(run.path.glob("answers_*.jsonl"))
    answers = {file: read_lines(file, read_answer) for file in files}
    for file, lines in answers.items():
        for number in lines.broken:
            yield f"{file}, line {number}: is not an answer, or was edited"
        if lines.torn:
            yield f"{file}: its last line is cut short; the next 'halluc eval' takes it out"
    for benchmark in sorted(set(_benchmarks(run))):
        seen: set[str] = set()
        for file in run.answers_files(benchmark):
            for number, answer in answers[file].records:
                if answer.status != "failed" and answer.key in seen:
                    yield f"{file}, line {number}: answers {answer.id!r} again"
                if answer.status != "failed":
                    seen.add(answer.key)
    try:
        sets = run.sample_sets()
    except UserError as error:
        yield str(error)
        sets = []
    for asked, _ in sets:
        try:
            find_crosscheck(run, asked.benchmark, asked.key)
        except UserError as error:
            yield str(error)
    for file in run.scores_files():
        try:
            _ = Scored(run, run.scores(file)).readings
        except UserError as error:
            yield str(error)


def superseded(run: RunFolder) -> Iterator[Path]:
    """Yield files of scores, cross-checks and samples that a larger set of the same kind replaces.

    A set of samples is replaced by one of the same benchmark, wording, split and options that
    holds all its samples and more. Answers are never among them.

    Raises:
        UserError: If a file is broken.
    """
    sets = run.sample_sets()
    gone = {
        asked.key
        for asked, samples in sets
        for other, more in sets
        if _alike(asked, other) and _within(samples, more)
    }
    for scored in find_scored(run):
        if scored.scores.asked.key in gone:
            name = f"{scored.name}_{scored.scores.key}"
            yield run.path / f"scores_{name}.json"
            yield run.path / f"readings_{name}.jsonl"
    for asked, _ in sets:
        if asked.key in gone:
            yield run.path / f"samples_{asked.benchmark}_{asked.key}.jsonl"
            crosscheck = crosscheck_path(run, asked.benchmark, asked.key)
            if crosscheck.is_file():
                yield crosscheck


def _alike(one: SampleSet, other: SampleSet) -> bool:
    different = {"key", "limit"}
    return one.key != other.key and one.model_dump(exclude=different) == other.model_dump(
        exclude=different
    )


def _within(samples: list[AskedSample], more: list[AskedSample]) -> bool:
    if len(samples) >= len(more):
        return False
    theirs = {sample.id: sample for sample in more}
    return all(theirs.get(sample.id) == sample for sample in samples)


def _benchmarks(run: RunFolder) -> Iterator[str]:
    for file in run.path.glob("answers_*.jsonl"):
        yield file.name.removeprefix("answers_").split(".")[0]
