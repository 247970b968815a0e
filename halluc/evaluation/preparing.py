"""Before anything is asked: the model, each run's method, and the folder of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from halluc.calibration import Calibration, find_calibration, read, refuse_overlap
from halluc.config import BASELINE, MethodConfig, RunConfig
from halluc.errors import UserError
from halluc.interventions import Method
from halluc.interventions.compose import find
from halluc.interventions.requirements import needs_masks
from halluc.models import VisionLanguageModel
from halluc.models.load import load_config, load_model
from halluc.models.names import endpoint_name
from halluc.remote.model import EndpointModel
from halluc.scoring.base import Benchmark
from halluc.store import Asker, RunFolder

Model = VisionLanguageModel | EndpointModel


@dataclass(frozen=True)
class Run:
    """One method on a loaded model, ready to be asked.

    Attributes:
        config: What was asked for.
        method: The method, made for this model.
        folder: Where its answers are kept.
    """

    config: RunConfig
    method: Method
    folder: RunFolder


def endpoint_of(configs: Sequence[RunConfig]) -> EndpointModel | None:
    """Return the endpoint that some runs ask; None where their model is loaded here.

    Raises:
        UserError: If it cannot do what a run wants, or has no key.
    """
    name = configs[0].model.name
    if endpoint_name(name) is None:
        return None
    remote = EndpointModel.named(name)
    for config in configs:
        remote.check(config)
    return remote


def open_model(configs: RunConfig | Sequence[RunConfig]) -> Model:
    """Load the model of some runs; its configuration is checked first against methods' needs.

    Raises:
        UserError: If the model cannot be loaded, or lacks what a method needs.
    """
    configs = [configs] if isinstance(configs, RunConfig) else configs
    if (remote := endpoint_of(configs)) is not None:
        return remote
    wanted = configs[0].model
    for config in configs:
        cls = find(config.method.name)
        params = cls.parameters(config.method.params)
        needs_masks(cls, wanted.attn_implementation)
        described = load_config(wanted.name, wanted.revision, wanted.trust_remote_code)
        cls.requires(params, described, wanted.name)
    return load_model(**wanted.model_dump())


def prepare(
    model: Model, config: RunConfig, calibration: Calibration | None, output_dir: Path
) -> Run:
    """Make a run's method for a model, and find the folder of its answers.

    Args:
        calibration: Of the method; the baseline ignores it.

    Raises:
        UserError: If the method does not fit the model.
    """
    cls = find(config.method.name)
    known = calibration if cls.name != MethodConfig().name else None
    params = cls.parameters((known.params if known else {}) | config.method.params)
    if isinstance(model, EndpointModel):
        model.check(config)
        method = cls(params)
    else:
        method = cls.for_model(model, params)
    asker = Asker.of(
        model=config.model.model_copy(update=model.loaded_as),
        weights=model.fingerprint,
        image_processing=model.image_processing,
        method=method,
        given=config.method.model_copy(update={"calibration": known.name if known else None}),
        decoding=config.decoding,
    )
    return Run(config, method, RunFolder.of(output_dir, asker))


def calibrations_of(
    configs: Sequence[RunConfig], output_dir: Path, fingerprint: str, file: Path | None = None
) -> dict[str, Calibration]:
    """Read what was calibrated for the methods of some runs, by method; the baseline has none.

    Args:
        fingerprint: The model's.
        file: The one to use; None for those below `output_dir` that fit.

    Raises:
        UserError: If a file is not a calibration, or the one given is of no method among them.
    """
    measured = {}
    for name in {config.method.name: None for config in configs if config.method.name != BASELINE}:
        known = file or find_calibration(output_dir, fingerprint, name)
        if known and (found := read(known)).method == name:
            measured[name] = found
    if file and not measured:
        raise UserError(f"--calibration {file}: is of {read(file).method}")
    return measured


def refuse_calibrated(
    runs: Sequence[Run], calibration: Calibration | None, benchmarks: Sequence[Benchmark]
) -> None:
    """Refuse to evaluate on images that a run's parameters were calibrated on.

    Raises:
        UserError: Naming the first such image.
    """
    if calibration and any(run.folder.asker.method.calibration for run in runs):
        for benchmark in benchmarks:
            asked = benchmark.asked(runs[0].config.limit)
            refuse_overlap(calibration, benchmark.name, asked)


def baseline_of(config: RunConfig) -> RunConfig:
    """Return the configuration of the baseline that a run's method is compared with."""
    return config.model_copy(update={"method": MethodConfig()})
