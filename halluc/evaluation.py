"""Evaluation of runs: a model with a method answers benchmarks, and the answers are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from halluc.calibration import Calibration, refuse_overlap
from halluc.config import MethodConfig, RunConfig
from halluc.decoding import answer_batches, in_lockstep, in_turns
from halluc.errors import UserError
from halluc.interventions import Method
from halluc.interventions.compose import find
from halluc.interventions.requirements import needs_masks
from halluc.interventions.shared_prefix import Memo
from halluc.interventions.touch import Touch
from halluc.memory import peak_memory, reset_peak_memory
from halluc.models import VisionLanguageModel
from halluc.models.load import load_config, load_model
from halluc.models.names import endpoint_name
from halluc.progress import track
from halluc.provenance import versions, where
from halluc.remote.model import EndpointModel
from halluc.scoring.base import Benchmark
from halluc.scoring.building import build
from halluc.scoring.judges.judge_models import NeedsJudge
from halluc.scoring.scores import Scores, parsed, score
from halluc.scoring.yes_probability import logit_scores
from halluc.store import Cost, RunFolder
from halluc.store.results_file import results
from halluc.types import Answer, Sample

MAX_FAILED = 0.05

Model = VisionLanguageModel | EndpointModel


@dataclass(frozen=True)
class Evaluation:
    """A finished run: its folder, its scores and its cost.

    Attributes:
        scores: By benchmark.
        costs: By benchmark.
        untouched: Benchmarks on which the method edited nothing in the first batches: no sink, no
            head, no token.
    """

    folder: RunFolder
    scores: dict[str, Scores] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)
    untouched: list[str] = field(default_factory=list)


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

    A run of exactly this configuration that was interrupted goes on where it stood; a finished one
    is read back.

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
        calibration=calibration,
        console=console,
        workers=workers,
    )
    return done


def evaluate_together(
    configs: Sequence[RunConfig],
    output_dir: str | Path = "runs",
    *,
    model: Model | None = None,
    calibration: Calibration | None = None,
    console: Console | None = None,
    workers: int | None = None,
) -> list[Evaluation]:
    """Evaluate several runs in turns, batch by batch, so that shared prefixes are read once.

    Each is the run `evaluate` makes of its configuration, in a folder of its own.

    Args:
        configs: Configurations that differ in method, parameters or seed only.
        output_dir, model, console, workers: As for `evaluate`.
        calibration: Of the method; the baseline ignores it.

    Returns:
        The runs in the order of their configurations.

    Raises:
        UserError: As for `evaluate`.
        NeedsJudge: As for `evaluate`.
    """
    console, common = console or Console(stderr=True), configs[0]
    benchmarks = [build(name, common.benchmark_args.get(name)) for name in common.benchmarks]
    model = model or open_model(common)
    resolved = [_resolve(config, model, calibration) for config in configs]
    if any(config.method.calibration for _, config in resolved) and calibration:
        for benchmark in benchmarks:
            refuse_overlap(calibration, benchmark.name, benchmark.asked(common.limit))
    methods = {config.hash: method for method, config in resolved}
    runs = {
        config.hash: Evaluation(RunFolder.open(Path(output_dir), config, where()))
        for _, config in resolved
    }
    logits: dict[str, dict[str, Any]] = {key: {} for key in runs}
    unjudged: list[str] = []
    fresh = {key for key, run in runs.items() if run.folder.results() is None}
    for benchmark in benchmarks:
        samples = list(benchmark.asked(common.limit))
        answered = _answer(runs, methods, model, benchmark, samples, console, workers)
        for key, run in runs.items():
            answers = _checked(run.folder, benchmark, samples, fresh=key in answered)
            run.costs[benchmark.name] = _cost(run.folder, benchmark, answers, key in answered)
            try:
                run.scores[benchmark.name] = score(benchmark, answers)
            except NeedsJudge:
                unjudged.append(benchmark.name)
            if of_yes := logit_scores(benchmark, answers):
                logits[key][benchmark.name] = of_yes
        fresh |= answered
    if unjudged:
        where_to = " ".join(str(run.folder.path) for run in runs.values())
        raise NeedsJudge(
            f"{', '.join(dict.fromkeys(unjudged))}: answered but not scored, as no judge is given; "
            f"'halluc score {where_to} --judge endpoint:MODEL' (or local:MODEL) scores them"
        )
    for key in fresh:  # others are read back; someone may be reading them too
        folder, scores, costs = runs[key].folder, runs[key].scores, runs[key].costs
        results_file = results(folder.config, benchmarks, scores, costs, logits[key], where())
        results_file["halluc"]["untouched"] = runs[key].untouched
        folder.write_results(results_file)
    return [runs[config.hash] for _, config in resolved]


def open_model(config: RunConfig) -> Model:
    """Load the model of a run; its configuration is checked first against the method's needs.

    Raises:
        UserError: If the model cannot be loaded, or lacks what the method needs.
    """
    wanted = config.model
    if endpoint_name(wanted.name) is not None:
        remote = EndpointModel.named(wanted.name)
        remote.check(config)
        return remote
    cls = find(config.method.name)
    params = cls.parameters(config.method.params)
    needs_masks(cls, wanted.attn_implementation)
    cls.requires(
        params, load_config(wanted.name, wanted.revision, wanted.trust_remote_code), wanted.name
    )
    return load_model(**wanted.model_dump())


def _resolve(
    config: RunConfig, model: Model, calibration: Calibration | None
) -> tuple[Method, RunConfig]:
    """Build the method for this model; record everything it and the model really run with."""
    cls = find(config.method.name)
    known = calibration if cls.name != MethodConfig().name else None
    params = cls.parameters((known.params if known else {}) | config.method.params)
    if isinstance(model, EndpointModel):
        model.check(config)
        method = cls(params)
    else:
        method = cls.for_model(model, params)
    resolved = MethodConfig(
        name=cls.name,
        params=config.method.params,
        calibration=known.name if known else None,
        resolved=method.params.model_dump(mode="json"),
    )
    loaded = config.model.model_copy(update=model.loaded_as)
    recorded = versions(model.fingerprint, model.image_processing)
    update = {"method": resolved, "model": loaded, "versions": recorded}
    return method, config.model_copy(update=update)


def _answer(
    runs: Mapping[str, Evaluation],
    methods: Mapping[str, Method],
    model: Model,
    benchmark: Benchmark,
    samples: Sequence[Sample],
    console: Console,
    workers: int | None,
) -> set[str]:
    """Answer and keep what the runs lack of a benchmark; return which runs lacked any."""
    memo, streams, left = Memo() if len(runs) > 1 else None, {}, {}
    touches = {key: Touch() for key in runs}
    for key, run in runs.items():
        earlier = run.folder.answers(benchmark.name)
        done = {answer.id: answer for answer in earlier if answer.status == "ok"}
        missing = [sample for sample in samples if sample.id not in done]
        config, left[key] = run.folder.config, len(missing)
        ask = partial(
            answer_batches,
            model,
            methods[key],
            decoding=config.decoding,
            batch_size=config.batch_size,
            share=config.share,
            memo=memo,
            workers=workers,
            touch=touches[key],
        )
        streams[key] = in_turns(missing, done, ask)
    kept = (
        answer
        for key, batch in in_lockstep(streams, left)
        for answer in runs[key].folder.keep(benchmark.name, batch)
    )
    waiting = {key for key, n in left.items() if n}
    if waiting:
        reset_peak_memory()
        names = " and ".join(dict.fromkeys(methods[key].name for key in waiting))
        title = f"{names} {benchmark.name}" + f", {len(waiting)} runs" * (len(waiting) > 1)
        for _ in track(kept, sum(left.values()), title, console):
            pass
    for key in waiting:
        if touches[key].nothing and methods[key].declared():
            runs[key].untouched.append(benchmark.name)
            name = methods[key].name
            console.print(
                f"{benchmark.name}: {name} edited nothing here; its answers are the model's own"
            )
    return waiting


def _checked(
    folder: RunFolder, benchmark: Benchmark, samples: Sequence[Sample], fresh: bool
) -> list[Answer]:
    """Return a run's answers in the order of the samples, parsed by the benchmark.

    Raises:
        UserError: If too many samples failed.
    """
    kept = {answer.id: answer for answer in folder.answers(benchmark.name)}
    try:
        with_verdict = {answer.id: answer for answer in parsed(benchmark, kept.values())}
    except NeedsJudge:
        with_verdict = {}
    answers = [with_verdict.get(sample.id, kept[sample.id]) for sample in samples]
    if fresh:
        folder.replace(benchmark.name, answers)
    failed = [answer for answer in answers if answer.status == "failed"]
    if len(failed) > MAX_FAILED * len(answers):
        raise UserError(
            f"{benchmark.name}: {len(failed)} of {len(answers)} samples failed, first "
            f"{failed[0].id}: {failed[0].error} (kept in {folder.path})"
        )
    return answers


def _cost(folder: RunFolder, benchmark: Benchmark, answers: list[Answer], fresh: bool) -> Cost:
    """Sum up the cost of answers; peak memory of an earlier run is the one it recorded."""
    earlier = (folder.results() or {}).get("halluc", {}).get("cost", {}).get(benchmark.name)
    peak = peak_memory() if fresh or not earlier else earlier["peak_memory_bytes"]
    return Cost.of(answers, peak)


def baseline_of(config: RunConfig) -> RunConfig:
    """Return the configuration of the baseline that a run's method is compared with."""
    return config.model_copy(update={"method": MethodConfig()})
