"""The spine: prepare, ask, score, keep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from halluc.calibration import Calibration
from halluc.config import RunConfig
from halluc.errors import UserError
from halluc.evaluation.asking import Asked, Elsewhere, answering_here, ask, kept_by_all
from halluc.evaluation.preparing import Model, Run, open_model, prepare, refuse_calibrated
from halluc.evaluation.sharding import Shard
from halluc.interruption import GO_ON, Interrupted, Stop
from halluc.interventions import Method
from halluc.progress import Pace
from halluc.provenance import where
from halluc.scoring.base import Benchmark
from halluc.scoring.building import build
from halluc.scoring.judges.judge_models import NeedsJudge
from halluc.store import Cost, RunFolder, Scored, ScoresFile
from halluc.store.scored_run import sample_set, score_run, scoring_of
from halluc.store.scores_file import AskedSample, SampleSet
from halluc.types import Sample

Preparing = Callable[[RunConfig, Calibration | None, Path], Run]

MAX_FAILED = 0.05


@dataclass(frozen=True)
class Evaluation:
    """A finished run.

    Attributes:
        folder: Where its answers and scores are.
        scored: By benchmark; empty where only a shard was answered.
        untouched: Benchmarks on which the method edited nothing in the first batches: no sink, no
            head, no token.
        method: The method as it was prepared for the model; None where that is elsewhere.
    """

    folder: RunFolder
    scored: dict[str, Scored] = field(default_factory=dict)
    untouched: list[str] = field(default_factory=list)
    method: Method | None = None

    @property
    def scores(self) -> dict[str, ScoresFile]:
        """The scores by benchmark."""
        return {name: scored.scores for name, scored in self.scored.items()}

    @property
    def costs(self) -> dict[str, Cost]:
        """The costs by benchmark."""
        return {name: scored.scores.cost for name, scored in self.scored.items()}


def evaluate(
    config: RunConfig,
    output_dir: str | Path = "runs",
    *,
    model: Model | None = None,
    calibration: Calibration | None = None,
    console: Console | None = None,
    workers: int | None = None,
) -> Evaluation:
    """Run one method on one model over some benchmarks, and score what it answers.

    Answers that are kept already are not asked for again, whatever they were asked for: fewer
    images, another benchmark, a run that was interrupted.

    Args:
        config: The run's configuration.
        output_dir: The folder in which run folders lie.
        model: The model of `config.model`, if it is loaded already.
        calibration: Parameters measured beforehand; those in the config win.
        console: Shows progress; standard error by default.
        workers: Processes that prepare images ahead of the model; None for as many as save time.

    Raises:
        UserError: If something named in the config does not exist or does not fit the model, or a
            calibration has used an image the run asks about.
        NeedsJudge: If a benchmark's answers can only be scored by a judge and none is given; all
            benchmarks are answered by then, and the answers kept.
    """
    (done,) = evaluate_together(
        [config],
        output_dir,
        model=model,
        calibrations={config.method.name: calibration} if calibration else None,
        console=console,
        workers=workers,
    )
    return done


def evaluate_together(
    configs: Sequence[RunConfig],
    output_dir: str | Path = "runs",
    *,
    model: Model | None = None,
    calibrations: Mapping[str, Calibration] | None = None,
    console: Console | None = None,
    workers: int | None = None,
    shard: Shard | None = None,
    stop: Stop | None = None,
    elsewhere: Elsewhere | None = None,
    questions: Sequence[Questions] | None = None,
) -> list[Evaluation]:
    """Evaluate several runs in turns, batch by batch, so that shared prefixes are read once.

    Each is the run `evaluate` makes of its configuration, in a folder of its own.

    Args:
        configs: Configurations that differ in method, parameters or seed only.
        output_dir, model, console, workers: As for `evaluate`.
        calibrations: By method; the baseline has none.
        shard: The part of the images to answer; then nothing is scored, unless it is a launcher's
            and the answers of all its processes are there.
        stop: Ends asking after a batch when a signal comes.
        elsewhere: Who holds the model and answers; this process by default.
        questions: What `questions_of` made of a configuration, if it has done so already.

    Returns:
        The runs in the order of their configurations.

    Raises:
        UserError: As for `evaluate`.
        NeedsJudge: As for `evaluate`.
        Interrupted: If told to stop.
    """
    console, common, output_dir = console or Console(stderr=True), configs[0], Path(output_dir)
    questions = questions_of(common) if questions is None else questions
    if elsewhere is None:
        model = model or open_model(configs)
        answering = answering_here(model, common.batch_size, common.share, workers)
        preparing: Preparing = partial(prepare, model)
    else:
        answering, preparing = elsewhere, elsewhere.prepare
    prepared = []
    for config in configs:
        calibration = (calibrations or {}).get(config.method.name)
        prepared.append(preparing(config, calibration, output_dir))
        refuse_calibrated(prepared[-1:], calibration, [one.benchmark for one in questions])
    runs = {run.folder.path.name: run for run in prepared}
    done = {key: Evaluation(run.folder, method=run.method) for key, run in runs.items()}
    left = Unscored()
    pace = Pace(len(runs) * sum(one.tokens for one in questions) / (shard.count if shard else 1))
    for benchmark, asked, samples in questions:
        mine = shard.of(samples) if shard else samples
        try:
            replies = ask(
                runs,
                benchmark,
                asked,
                mine,
                samples,
                answering,
                console,
                str(shard or ""),
                stop,
                pace if len(questions) > 1 else None,
            )
        except Interrupted as stopped:
            raise Interrupted(stopped.signum, GO_ON) from None
        if shard is None:
            _score(done, benchmark, asked, common, replies, console, left)
    if shard is not None and shard.launched:
        _score_if_complete(done, runs, questions, common, console, left)
    left.complain(run.folder.path for run in runs.values())
    return [done[run.folder.path.name] for run in prepared]


class Questions(NamedTuple):
    """What a benchmark asks.

    Attributes:
        benchmark: The benchmark.
        asked: Describes its samples.
        samples: Each with the token limit that holds for it.
    """

    benchmark: Benchmark
    asked: SampleSet
    samples: list[Sample]

    @property
    def tokens(self) -> int:
        """The most tokens that its answers may have together."""
        return sum(sample.max_new_tokens for sample in self.samples)


def questions_of(config: RunConfig) -> list[Questions]:
    """Read what all benchmarks of a run ask.

    Raises:
        UserError: If the data of one is missing or wrong.
    """
    found = []
    for name in config.benchmarks:
        options = config.benchmark_args.get(name, {})
        benchmark = build(name, options)
        samples = samples_of(benchmark, config)
        asked = sample_set(benchmark, config.limit, options)
        described = [AskedSample.of(sample) for sample in samples]
        found.append(Questions(benchmark, asked.keyed(described), samples))
    return found


@dataclass
class Unscored:
    """What could not be scored, while all else was.

    Attributes:
        failed: A line for each run and benchmark of which too many samples failed.
        unjudged: Benchmarks whose answers need a judge.
    """

    failed: list[str] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)

    def complain(self, folders: Iterable[Path]) -> None:
        """Say what is not scored.

        Args:
            folders: Of the runs.

        Raises:
            UserError: If too many samples of a run failed.
            NeedsJudge: If a benchmark needs a judge.
        """
        if self.failed:
            raise UserError("; ".join(self.failed))
        if self.unjudged:
            commands = " and ".join(
                f"'halluc score {folder} --judge endpoint:MODEL'" for folder in folders
            )
            raise NeedsJudge(
                f"{', '.join(dict.fromkeys(self.unjudged))}: answered but not scored, as no judge "
                f"is given; {commands} (or local:MODEL) score them"
            )


def samples_of(benchmark: Benchmark, config: RunConfig) -> list[Sample]:
    """List what a run asks of a benchmark, each sample with the token limit that holds for it."""
    samples = list(benchmark.asked(config.limit))
    if (most := config.decoding.max_new_tokens) is None:
        return samples
    return [replace(sample, max_new_tokens=most) for sample in samples]


def _score_if_complete(
    done: Mapping[str, Evaluation],
    runs: Mapping[str, Run],
    questions: Sequence[Questions],
    config: RunConfig,
    console: Console,
    left: Unscored,
) -> None:
    """Score all benchmarks if the answers of all shards are there; else say so.

    Whichever process ends last finds them all. Files are written whole, so two of them that end
    at once do no harm.
    """
    found = []
    for benchmark, asked, samples in questions:
        answers = kept_by_all(runs, benchmark.name, samples)
        if answers is None:
            console.print("this shard is answered; the process that ends last scores all of them")
            return
        found.append((benchmark, asked, Asked(answers, dict.fromkeys(runs))))
    for benchmark, asked, replies in found:
        _score(done, benchmark, asked, config, replies, console, left)


def _score(
    done: Mapping[str, Evaluation],
    benchmark: Benchmark,
    asked: SampleSet,
    config: RunConfig,
    replies: Asked,
    console: Console,
    left: Unscored,
) -> None:
    """Score a benchmark for all runs, and note in `left` what cannot be scored."""
    options = config.benchmark_args.get(benchmark.name, {})
    for key, run in done.items():
        answers, untouched = replies.answers[key], replies.untouched[key]
        failed = [answer for answer in answers if answer.status == "failed"]
        if len(failed) > MAX_FAILED * len(answers):
            left.failed.append(
                f"{benchmark.name}: {len(failed)} of {len(answers)} samples failed, first "
                f"{failed[0].id}: {failed[0].error} (kept in {run.folder.path})"
            )
            continue
        if untouched:
            run.untouched.append(benchmark.name)
            name = run.folder.asker.method.name
            console.print(
                f"{benchmark.name}: {name} edited nothing here; its answers are the model's own"
            )
        benchmark.notes.clear()
        try:
            run.scored[benchmark.name] = score_run(
                run.folder,
                benchmark,
                asked,
                scoring_of(benchmark, options),
                answers,
                where(),
                untouched,
                paths=options,
            )
        except NeedsJudge:
            left.unjudged.append(benchmark.name)
