"""Report on a model and the machine it runs on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from halluc.config import RunConfig
from halluc.doctor.machine import data, devices, packages
from halluc.doctor.method_fit import Fit, fits
from halluc.doctor.promises import PROMISES, Check, check, probe
from halluc.interventions import REGISTRY
from halluc.memory import peak_memory, reset_peak_memory
from halluc.models.load import load_model
from halluc.models.names import endpoint_name
from halluc.remote.answers import ask_endpoint
from halluc.remote.model import EndpointModel
from halluc.types import Sample
from halluc.world import render, scene

if TYPE_CHECKING:
    from halluc.config import ModelConfig
    from halluc.interventions import Batch
    from halluc.models import VisionLanguageModel

QUESTIONS = ("Is there a dog in the image?", "Please describe this image in one short sentence.")


@dataclass(frozen=True)
class Examination:
    """Report of `halluc doctor`.

    Attributes:
        model: Facts about the model and how it runs; sizes in bytes.
        promises: The check of each promise, by its name.
        methods: Each method, and whether it applies to the model.
        packages: Versions by package; None where it is not installed.
        devices: Devices a model can run on; memory in bytes.
        data: Caches, and the state of each benchmark's data.
    """

    model: dict[str, Any]
    promises: dict[str, Check] = field(default_factory=dict)
    methods: list[Fit] = field(default_factory=list)
    packages: dict[str, str | None] = field(default_factory=packages)
    devices: list[dict[str, Any]] = field(default_factory=devices)
    data: dict[str, Any] = field(default_factory=data)

    @property
    def healthy(self) -> bool:
        """True if no promise is broken, and no method breaks without refusing the model."""
        broken = any(checked.status == "broken" for checked in self.promises.values())
        return not broken and all(fit.status != "fails" for fit in self.methods)

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        return asdict(self) | {"healthy": self.healthy}


def examine(config: ModelConfig) -> Examination:
    """Load a model and check all that is promised of it.

    Raises:
        UserError: If it cannot be loaded or asked.
    """
    if endpoint_name(config.name) is not None:
        return _remote(config)
    reset_peak_memory()
    model = load_model(**config.model_dump())
    images = [render(scene("calibration", index)) for index in range(len(QUESTIONS))]
    batch = probe(model, QUESTIONS, images)
    promises = {name: check(promise, model, batch) for name, promise in PROMISES.items()}
    found = fits(model, batch)
    return Examination(_facts(config, model, batch), promises, found)


def _facts(config: ModelConfig, model: VisionLanguageModel, batch: Batch) -> dict[str, Any]:
    tokens = model.prompt_tokens(batch.inputs)
    return {
        "name": model.name,
        "class": type(model.model).__name__,
        "fingerprint": model.fingerprint,
        **config.model_dump(exclude={"name"}),
        **model.loaded_as,
        "layers": model.n_layers,
        "heads": model.n_heads,
        "parameters": sum(p.numel() for p in model.model.parameters()),
        "weights_bytes": model.model.get_memory_footprint(),
        "peak_bytes": peak_memory(),
        "prompt_tokens": tokens.attention_mask.sum(1).tolist(),
        "image_tokens": tokens.image_mask.sum(1).tolist(),
        "yes_no_tokens": model.yes_no_tokens is not None,
    }


def _remote(config: ModelConfig) -> Examination:
    """Ask a model behind an endpoint one question; its inside is out of reach."""
    model = EndpointModel.named(config.name)
    run = RunConfig(model=config)
    model.check(run)
    sample = Sample("doctor", "doctor", QUESTIONS[0], partial(render, scene("calibration", 0)))
    (answer,) = ask_endpoint(model, [sample], run.decoding, 1)
    said = answer.error if answer.status == "failed" else f"says {answer.text[:60]!r}"
    reply = {"it answers about an image": Check.of(answer.status == "ok", str(said))}
    reason = "the model is behind an endpoint, where no method can reach"
    methods = [
        Fit(name, "applies") if name == "baseline" else Fit(name, "refused", reason)
        for name in REGISTRY.names()
    ]
    return Examination({"name": model.name, "fingerprint": model.fingerprint}, reply, methods)
