"""Scores of a run: made of its answers, and read back."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from halluc.data.pinned_files import checksum
from halluc.data.records import finite
from halluc.errors import Notice, UserError
from halluc.lines_file import line_of, read_lines
from halluc.scoring.base import REGISTRY
from halluc.scoring.bootstrap import DRAWS
from halluc.scoring.building import PATHS, build
from halluc.scoring.judges.judge_models import judgements_kept
from halluc.scoring.scores import clusters, missing, read, score_readings, tallied
from halluc.scoring.selective_risk import risk_coverage
from halluc.scoring.thinking import RULE, note, spoken, thoughtful
from halluc.scoring.yes_probability import logit_scores
from halluc.store.run_folder import RunFolder, now
from halluc.store.scores_file import (
    AskedSample,
    Cost,
    RiskCoverageValues,
    SampleSet,
    ScoresFile,
    Scoring,
    values_of,
)
from halluc.types import Answer, Reading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from halluc.scoring.base import Benchmark

ASKING = ("chat", "rotate_options")
"""Options that decide what is asked, as one's own data's do, and have no field of their own."""


class ReadAnswer(NamedTuple):
    """What a readings file says of an answer.

    Attributes:
        id, answer: The sample's id and the answer's key.
        prediction: What was read.
        right: Whether it is right; None where a single answer cannot be judged.
        target: What it was compared with, where other labels were used.
    """

    id: str
    answer: str
    prediction: Any
    right: bool | None
    target: Any = None


class ReadImage(NamedTuple):
    """What a readings file says of an image: its counts, and the answers about it."""

    counts: dict[str, float]
    answers: list[ReadAnswer]


@dataclass(frozen=True)
class Scored:
    """One scoring of a run.

    Attributes:
        run: The folder.
        scores: What was found.
    """

    run: RunFolder
    scores: ScoresFile

    @property
    def name(self) -> str:
        """The name of the benchmark."""
        return self.scores.asked.benchmark

    @cached_property
    def images(self) -> dict[str, ReadImage]:
        """What was read, by image (or what else the benchmark resamples).

        Raises:
            UserError: If the readings file is missing, or not the one the scores are from.
        """
        file = self.run.path / f"readings_{self.name}_{self.scores.key}.jsonl"
        lines = read_lines(file, _image)
        lacks = not lines.records and self.scores.n > 0
        if lacks or not file.exists() or readings_hash(file) != self.scores.readings:
            raise UserError(
                f"{file}: is not what the scores were computed from; remove it and the scores file "
                "next to it, and 'halluc score' or 'halluc eval' writes them again"
            )
        return dict(image for _, image in lines.records)

    @cached_property
    def reader(self) -> Benchmark:
        """The benchmark without its data: its metrics and its parser.

        Raises:
            UserError: If it is not installed.
        """
        asked, scoring = self.scores.asked, self.scores.scoring
        paths = {key: path for key, path in self.scores.paths.items() if Path(path).exists()}
        fixed = {"prompt": asked.wording, "protocol": scoring.protocol}
        benchmark = build(self.name, paths | asked.options | fixed)
        if scoring.labels:
            benchmark.narrow(scoring.labels)
        elif self.run.asker.record is not None:  # published files often hold one split alone
            benchmark.narrow({sample.group for sample in self.asked_samples})
        return benchmark

    @cached_property
    def asked_samples(self) -> list[AskedSample]:
        """What was asked."""
        sets = self.run.sample_sets()
        return next((all for asked, all in sets if asked.key == self.scores.asked.key), [])

    @cached_property
    def readings(self) -> list[Reading]:
        """What was read in each answer, in the order of images.

        Raises:
            UserError: If an answer is no longer there.
        """
        answers = {answer.key: answer for answer in self.run.answers(self.name)}
        targets = {sample.id: sample for sample in self.asked_samples}
        readings = []
        for said in (said for image in self.images.values() for said in image.answers):
            answer, sample = answers.get(said.answer), targets.get(said.id)
            if answer is None or sample is None:
                raise UserError(f"{self.run.path}: the answer to {said.id!r} is no longer there")
            target = said.target if self.scores.scoring.labels else sample.target
            as_asked = replace(answer, target=target, group=sample.group)
            readings.append(Reading(spoken(as_asked), said.prediction))
        return readings


def find_scored(run: RunFolder) -> Iterator[Scored]:
    """Read all scores in a run's folder.

    Raises:
        UserError: If a file is broken or was edited.
    """
    for file in run.scores_files():
        yield Scored(run, run.scores(file))


def scored_in(runs: Iterable[RunFolder]) -> list[Scored]:
    """Read all scores of some runs; those of benchmarks not installed here are left out, and said.

    Raises:
        UserError: If a file is broken or was edited.
    """
    kept, missing = [], dict[str, None]()
    for one in (one for run in runs for one in find_scored(run)):
        try:
            REGISTRY.get(one.name)
        except UserError:
            missing[one.name] = None
        else:
            kept.append(one)
    for name in missing:
        said = f"{name}: is not installed here; its scores are left out"
        warnings.warn(said, Notice, stacklevel=2)
    return kept


def sample_set(benchmark: Benchmark, limit: int | None, options: Mapping[str, Any]) -> SampleSet:
    """Describe what a benchmark asks; it has no key yet.

    Args:
        limit: The most images asked about.
        options: Those the benchmark was built with.
    """
    card = benchmark.card
    return SampleSet(
        benchmark=benchmark.name,
        version=card.version,
        dataset=card.dataset,
        dataset_revision=benchmark.revision,
        task=card.task,
        wording=benchmark.prompt,
        split=benchmark.split or card.split,
        limit=limit,
        options={
            key: value for key, value in options.items() if key in (*ASKING, *benchmark.own_options)
        },
    )


def scoring_of(
    benchmark: Benchmark, options: Mapping[str, Any], labels: Mapping[str, Path] | None = None
) -> Scoring:
    """Describe the rule by which a benchmark scores.

    Args:
        options: Those the benchmark was built with.
        labels: A split's name to the file of other labels.
    """
    judge = getattr(benchmark, "judge_name", None)
    tables = options.get("tables")
    return Scoring(
        protocol=benchmark.protocol,
        judge=judge,
        labels={split: checksum(path)[:10] for split, path in (labels or {}).items()},
        tables=checksum(Path(str(tables)))[:10] if tables else None,
    )


def score_run(
    run: RunFolder,
    benchmark: Benchmark,
    asked: SampleSet,
    scoring: Scoring,
    answers: Sequence[Answer],
    where: dict[str, Any],
    untouched: bool | None = None,
    paths: Mapping[str, Any] | None = None,
    draws: int = DRAWS,
) -> Scored:
    """Score a run's answers and keep the scores; the same ones are not written twice.

    Args:
        answers: To all samples, failed ones included, with the benchmark's targets.
        where: Machine and source revision.
        untouched: Whether the method edited nothing; None keeps what is known.
        paths: Options that may be paths on this machine, for who reads captions again.

    Raises:
        UserError: If nothing can be scored, or the folder cannot be written to.
        NeedsJudge: If a judge has to read the answers and there is none.
    """
    with judgements_kept(benchmark, run.path):
        readings = read(benchmark, answers)
        grouped = clusters(benchmark, readings)
        rows = {name: benchmark.tally(members) for name, members in grouped.items()}
        withheld = [answer for answer in answers if answer.status == "withheld"]
        selective = risk_coverage(benchmark, readings, withheld) if draws else None
    counted = tallied([*rows.values()])
    if thoughtful(answers):
        scoring = scoring.model_copy(update={"thinking": RULE})
    scores = score_readings(benchmark, readings, missing(answers), draws, counted=counted)
    lines = [
        {
            "image": name,
            "counts": finite(rows[name]),
            "answers": [
                [r.id, r.answer.key, finite(r.prediction), benchmark.right(r)]
                + [r.target] * bool(scoring.labels)
                for r in members
            ],
        }
        for name, members in grouped.items()
    ]
    found = ScoresFile(
        asker=run.asker.key,
        asked=asked,
        scoring=scoring,
        values=values_of(scores.values, benchmark.card.metrics),
        n=scores.n,
        n_images=scores.n_images,
        failed=scores.failed,
        unparseable=scores.unparseable,
        withheld=scores.withheld,
        risk_coverage=None if selective is None else RiskCoverageValues.of(selective),
        totals=finite(dict(scores.totals)),
        probabilities=finite(logit_scores(benchmark, answers)),
        cost=Cost.of(answers),
        untouched=untouched,
        notes=[*benchmark.notes, *note(answers)],
        paths={key: str(value) for key, value in (paths or {}).items() if key in PATHS},
        date=now(),
        where=where,
        readings=_hash(map(line_of, lines)),
    )
    earlier = _earlier(run, found)
    if earlier is not None:
        kept: dict[str, Any] = {"date": earlier.date, "where": earlier.where}
        if untouched is None:
            kept["untouched"] = earlier.untouched
        found = found.model_copy(update=kept)
    found = found.sealed()
    if earlier is None or earlier.checksum != found.checksum:
        if earlier is not None:
            found = found.model_copy(update={"date": now(), "where": where}).sealed()
        run.write_scores(found, lines)
    return Scored(run, found)


def _earlier(run: RunFolder, found: ScoresFile) -> ScoresFile | None:
    file = run.path / f"scores_{found.asked.benchmark}_{found.key}.json"
    try:
        return run.scores(file) if file.is_file() else None
    except UserError:  # broken or edited: it is written again
        return None


def readings_hash(file: Path) -> str:
    """Hash a readings file as the scores file names it."""
    return _hash([file.read_bytes()])


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:10]


def _image(record: dict[str, Any]) -> tuple[str, ReadImage]:
    answers = [ReadAnswer(*fields) for fields in record["answers"]]
    return record["image"], ReadImage(record["counts"], answers)
