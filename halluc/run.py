"""The spine: answers = run(model, method, benchmark); scores = score(benchmark, answers)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from halluc.calibration import Calibration, refuse_overlap
from halluc.config import MethodConfig, RunConfig
from halluc.decoding import answer_samples, in_turns
from halluc.environment import peak_memory, reset_peak_memory, versions, where
from halluc.errors import UserError
from halluc.interventions import Method
from halluc.interventions.compose import find
from halluc.interventions.needs import needs_masks, needs_reached_layers
from halluc.models import VisionLanguageModel
from halluc.models.endpoint import EndpointModel
from halluc.models.load import load_config, load_model
from halluc.models.names import endpoint_name
from halluc.progress import track
from halluc.samples import Answer, Sample
from halluc.scoring.benchmark import Benchmark
from halluc.scoring.judges import NeedsJudge
from halluc.scoring.logits import logit_scores
from halluc.scoring.options import build
from halluc.scoring.score import Scores, parsed, score
from halluc.store import Cost, RunFolder
from halluc.store.results import results

MAX_FAILED = 0.05

Model = VisionLanguageModel | EndpointModel


@dataclass(frozen=True)
class Evaluation:
    """A finished run: its folder, and what it scored."""

    folder: RunFolder
    scores: dict[str, Scores]
    costs: dict[str, Cost]


def evaluate(
    config: RunConfig,
    output_dir: str | Path = "runs",
    *,
    model: Model | None = None,
    calibration: Calibration | None = None,
    console: Console | None = None,
) -> Evaluation:
    """Run one method on one model over some benchmarks, and score what it answers.

    A run of exactly this configuration that was interrupted goes on where it stood; a finished one
    is read back.

    Args:
        config: What to run.
        output_dir: Where run folders live.
        model: The model of `config.model`, if it is loaded already.
        calibration: Parameters measured beforehand; those in the config win.
        console: Where progress is shown; standard error by default.

    Raises:
        UserError: If something named in the config does not exist or does not fit the model, or a
            calibration has seen an image the run asks about.
        NeedsJudge: If a benchmark's answers can only be scored by a judge and there is none; all
            benchmarks are answered by then, and the answers kept.
    """
    console = console or Console(stderr=True)
    benchmarks = [build(name, config.benchmark_args.get(name)) for name in config.benchmarks]
    model = model or open_model(config)
    method, config = _resolve(config, model, calibration)
    if calibration is not None:
        for benchmark in benchmarks:
            refuse_overlap(calibration, benchmark.name, benchmark.samples(config.limit))
    folder = RunFolder.open(Path(output_dir), config, where())
    scores, costs, logits, unjudged = {}, {}, {}, list[str]()
    finished = folder.results() is not None
    for benchmark in benchmarks:
        answers, costs[benchmark.name], fresh = _answers(folder, model, method, benchmark, console)
        finished = finished and not fresh
        try:
            scores[benchmark.name] = score(benchmark, answers)
        except NeedsJudge:
            unjudged.append(benchmark.name)
        if found := logit_scores(benchmark, answers):
            logits[benchmark.name] = found
    if unjudged:
        raise NeedsJudge(
            f"{', '.join(unjudged)}: answered but not scored, for want of a judge; "
            f"'halluc score {folder.path} --judge endpoint:MODEL' (or local:MODEL) scores them"
        )
    if finished:  # read back; others may be reading it too
        return Evaluation(folder, scores, costs)
    folder.write_results(results(folder.config, benchmarks, scores, costs, logits, where()))
    return Evaluation(folder, scores, costs)


def open_model(config: RunConfig) -> Model:
    """Load the model, unless its configuration tells already that it cannot serve the method.

    Raises:
        UserError: If it cannot, or cannot be loaded.
    """
    from halluc.arguments import method_params

    wanted = config.model
    if endpoint_name(wanted.name) is not None:
        remote = EndpointModel.named(wanted.name)
        remote.check(config)
        return remote
    cls = find(config.method.name)
    params = method_params(cls.name, config.method.params)
    needs_masks(cls, wanted.attn_implementation)
    cls.requires(
        params, load_config(wanted.name, wanted.revision, wanted.trust_remote_code), wanted.name
    )
    return load_model(**wanted.model_dump())


def _resolve(
    config: RunConfig, model: Model, calibration: Calibration | None
) -> tuple[Method, RunConfig]:
    """Build the method for this model; record everything it and the model really run with."""
    from halluc.arguments import method_params

    cls = find(config.method.name)
    measured = calibration.params if calibration else {}
    given = method_params(cls.name, measured | config.method.params)
    if isinstance(model, EndpointModel):
        model.check(config)
        params = given
    else:
        cls.requires(given, model.model.config, model.name)
        needs_masks(cls, model.text_attention)
        params = cls.resolve(given, model)
    resolved = MethodConfig(
        name=cls.name,
        params=config.method.params,
        calibration=calibration.name if calibration else None,
        resolved=params.model_dump(mode="json"),
    )
    loaded = config.model.model_copy(update=model.loaded_as)
    seen = versions(model.fingerprint, model.image_processing)
    update = {"method": resolved, "model": loaded, "versions": seen}
    method = cls(params)
    if not isinstance(model, EndpointModel):
        needs_reached_layers(method, model)
    return method, config.model_copy(update=update)


def _answers(
    folder: RunFolder,
    model: Model,
    method: Method,
    benchmark: Benchmark,
    console: Console,
) -> tuple[list[Answer], Cost, bool]:
    """All answers to a benchmark, what they cost, and whether any was given just now."""
    config, name = folder.config, benchmark.name
    samples = list(benchmark.samples(config.limit))
    kept = {answer.id: answer for answer in folder.answers(name) if answer.status == "ok"}
    missing = [sample for sample in samples if sample.id not in kept]
    earlier = (folder.results() or {}).get("halluc", {}).get("cost", {}).get(name)
    if missing:
        reset_peak_memory()
        ask = partial(
            answer_samples,
            model,
            method,
            decoding=config.decoding,
            batch_size=config.batch_size,
            share=config.share,
        )
        stream = in_turns(missing, kept, ask)
        title = f"{method.name} {name}"
        for answer in folder.keep(name, track(stream, len(missing), title, console)):
            kept[answer.id] = answer
    answers = list(_with_predictions(benchmark, samples, kept))
    if missing:
        folder.replace(name, answers)
    failed = [answer for answer in answers if answer.status == "failed"]
    if len(failed) > MAX_FAILED * len(answers):
        raise UserError(
            f"{name}: {len(failed)} of {len(answers)} samples failed, first {failed[0].id}: "
            f"{failed[0].error} (kept in {folder.path})"
        )
    peak = peak_memory() if missing or not earlier else earlier["peak_memory_bytes"]
    return answers, Cost.of(answers, peak), bool(missing)


def _with_predictions(
    benchmark: Benchmark, samples: list[Sample], kept: dict[str, Answer]
) -> Iterator[Answer]:
    """Answers in the order of the samples, with what the benchmark's parser makes of them."""
    try:
        read = {answer.id: answer for answer in parsed(benchmark, kept.values())}
    except NeedsJudge:
        read = {}
    for sample in samples:
        yield read.get(sample.id, kept[sample.id])


def baseline_of(config: RunConfig) -> RunConfig:
    """The same run without intervention: what a method is compared with."""
    return config.model_copy(update={"method": MethodConfig()})
