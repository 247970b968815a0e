"""What it takes to measure a claim, and the commands that do: nothing is loaded or asked."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from halluc.claims.claim_cost import Spent, spent
from halluc.errors import UserError
from halluc.interventions.compose import find
from halluc.scoring.base import REGISTRY
from halluc.scoring.pope.questions import STRATEGIES
from halluc.statistics.power import Design

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from halluc.claims.claim import Claim

Dtype = Literal["float16", "bfloat16", "float32"]
FOLDER = "folder=DIR"
"""What stands for a folder that is not given yet."""

BYTES: dict[Dtype, int] = {"float16": 2, "bfloat16": 2, "float32": 4}


@dataclass(frozen=True)
class Reproduction:
    """A plan to measure a claim.

    Attributes:
        claim: It.
        hub: The model's hub id.
        gigabytes: Of its weights, at the type they are loaded in.
        images, questions: Asked about; the questions are the benchmark's share of them.
        folder: Whether a folder of images has to be given.
        spent: Time, estimated.
        power: To find the claimed difference, where it is one of right answers; else None.
        commands: What is run, each a list of arguments behind "halluc".
    """

    claim: Claim
    hub: str
    gigabytes: float
    images: int
    questions: int
    folder: bool
    spent: Spent
    power: float | None
    commands: tuple[tuple[str, ...], ...]


def plan(
    claim: Claim,
    limit: int | None = None,
    seeds: int = 1,
    dtype: Dtype = "float16",
    benchmark_args: str = "",
    model_args: str = "",
    output_dir: str = "runs",
    seconds_a_pass: float | None = None,
) -> Reproduction:
    """Plan to measure a claim.

    Args:
        limit: Images; None for all.
        seeds: Their number, 0 being the first; one where nothing is sampled.
        benchmark_args, model_args: Further options, as `halluc eval` takes them.
        seconds_a_pass: Of the machine; None estimates it as docs/planning.md does.

    Raises:
        UserError: If halluc cannot load the model, or lacks the wording or the benchmark's size.
    """
    model, benchmark = claim.known_model, REGISTRY.get(claim.benchmark)
    if model.hub is None:
        raise UserError(f"{claim.id}: {model.name} cannot be run: {model.why_not}")
    if claim.prompt and claim.prompt not in benchmark.prompts:
        raise UserError(
            f"{claim.id}: cannot be run: {claim.benchmark} has no wording {claim.prompt!r}, only "
            f"{', '.join(benchmark.prompts)}"
        )
    size = benchmark.card.size
    if size is None:
        raise UserError(f"{claim.id}: cannot be planned: the size of {claim.benchmark} is unknown")
    images = min(limit or size[0], size[0])
    runs = seeds if claim.decoding.do_sample else 1
    folder = getattr(benchmark, "dataset", None) is None and "folder=" not in benchmark_args
    given = ",".join(filter(None, (benchmark_args, FOLDER * folder)))
    about = {"benchmark": given, "model": model_args, "output": output_dir}
    return Reproduction(
        claim=claim,
        hub=model.hub,
        gigabytes=model.params * BYTES[dtype],
        images=images,
        questions=round(size[1] * images / size[0]),
        folder=folder,
        spent=spent(claim, images, runs, seconds_a_pass),
        power=_power(claim, images, size[1] / size[0]),
        commands=tuple(tuple(_eval(claim, seed, dtype, limit, about)) for seed in range(runs)),
    )


def _eval(
    claim: Claim, seed: int, dtype: str, limit: int | None, about: dict[str, str]
) -> Iterator[str]:
    """Yield the arguments of one evaluation of the method and of the baseline decoded alike."""
    yield from ("eval", "--model", str(claim.known_model.hub), "--dtype", dtype)
    own = {k: text for k, text in claim.known_model.args.items() if f"{k}=" not in about["model"]}
    if loading := ",".join(filter(None, (_joined(own), about["model"]))):
        yield from ("--model-args", loading)
    yield from ("--method", claim.method)
    if claim.method_args:
        yield from ("--method-args", _joined(claim.method_args))
    options = {"prompt": claim.prompt, "protocol": claim.protocol}
    given = ",".join(filter(None, (_joined(options), about["benchmark"])))
    yield from ("--benchmarks", claim.benchmark)
    if given:
        yield from ("--benchmark-args", given)
    chosen = claim.decoding.model_dump(exclude_defaults=True, exclude={"seed"})
    if claim.decoding.do_sample:
        chosen["seed"] = seed
    if chosen:
        yield from ("--gen-kwargs", _joined(chosen))
    if limit is not None:
        yield from ("--limit", str(limit))
    yield from ("--output-dir", about["output"])


def _joined(options: Mapping[str, Any]) -> str:
    """Write options as the command line takes them; those without a value are left out."""
    return ",".join(
        f"{key}={str(value).lower() if isinstance(value, bool) else value}"
        for key, value in options.items()
        if value != ""
    )


def _power(claim: Claim, images: int, per_image: float) -> float | None:
    """Return the power to find a difference of POPE's accuracy, by what `halluc power` assumes."""
    if claim.metric.rpartition("/")[2] != "accuracy" or not claim.benchmark.startswith("pope"):
        return None
    design = Design(per_image / (1 if claim.split == "all" else len(STRATEGIES)))
    difference = abs(claim.difference) / 100
    return design.power(difference, images) if difference < design.discordance else None


def lines(planned: Reproduction) -> Iterator[str]:
    """Say what it takes, then the commands."""
    claim, method = planned.claim, find(planned.claim.method).card
    yield (
        f"{claim.id}: {claim.method} on {claim.model}, {claim.benchmark}, {claim.metric}: "
        f"{claim.baseline:.2f} to {claim.value:.2f}, {claim.difference:+.2f} {claim.unit} "
        f"({claim.paper}; {claim.source})"
    )
    if claim.note:
        yield f"note: {claim.note}"
    if claim.baseline_decoding != claim.decoding:
        yield "note: the paper decodes its baseline in another way; here it is decoded alike"
    yield from (f"ours differs: {deviation}" for deviation in method.deviations)
    yield f"model: {planned.hub}, about {planned.gigabytes:.0f} GB of weights"
    if method.needs:
        yield f"{claim.method} needs: {'; '.join(method.needs)}"
    data = f"{planned.images} images, {planned.questions} questions"
    yield f"data: {data} of {REGISTRY.get(claim.benchmark).card.dataset}"
    if planned.folder:
        yield f"give --benchmark-args {FOLDER}: a folder with the images and the authors' files"
    yield from planned.spent.told()
    if planned.power is not None:
        yield (
            f"power: {planned.power:.2f} to find the claimed difference, if one method alone is "
            "right on a tenth of the answers (see halluc power)"
        )
    yield "each command asks the baseline too, decoded as the method is:"
    yield from (shlex.join(["halluc", *command]) for command in planned.commands)
