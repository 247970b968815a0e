"""Methods on benchmarks: `halluc.evaluate`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from halluc.config import DecodingConfig, ModelConfig, RunConfig
from halluc.errors import UserError
from halluc.python_api.loaded_model import LoadedModel
from halluc.python_api.method_given import Given, choose, configs_of, findable
from halluc.python_api.results import Results
from halluc.scoring.building import checked_benchmarks
from halluc.validation import checked, shown


def evaluate(
    model: str | LoadedModel = "glyph",
    methods: Given | Iterable[Given] = (),
    benchmarks: str | Sequence[str] = "glyph",
    limit: int | None = None,
    output_dir: str | PathLike[str] = "runs",
    *,
    decoding: Mapping[str, Any] | None = None,
    benchmark_args: Mapping[str, Any] | None = None,
    baseline: bool = True,
    calibration: str | PathLike[str] | None = None,
    batch_size: int | None = None,
    share: bool = True,
    workers: int | None = None,
    **model_options: Any,
) -> Results:
    """Evaluate methods next to the baseline, as `halluc eval` does, with the same run folders.

    Answers that are kept in `output_dir` are not asked for again.

    Args:
        model: A name, as for `halluc.load`, or what that returned.
        methods: Names, names joined by "+", classes made from `halluc.Method`, or any of these with
            parameters: {"vhr": {"gain": 1.5}}.
        benchmarks: Names, or families of them: "glyph" stands for all that start with it;
            "yes_no:FOLDER" for your data.
        limit: Images of each benchmark; None for all.
        output_dir: Where run folders lie.
        decoding: Fields of `halluc.config.DecodingConfig`: do_sample, temperature, top_p, top_k,
            num_beams, max_new_tokens, seed.
        benchmark_args: Options of benchmarks: {"folder": "coco", "pope_coco.prompt": "vcd"}.
        baseline: Evaluate the baseline, too.
        calibration: File of `halluc calibrate`; None for the newest in `output_dir` that fits.
        batch_size: Most prompts answered together; None for what fits.
        share: Compute what prompts have in common once; no answer changes.
        workers: Processes that prepare images ahead of the model; None for as many as save time.
        model_options: How a model that is named is loaded, as for `halluc.load`.

    Raises:
        UserError: If something that is named does not exist or does not fit, or an option is wrong.
        NeedsJudge: If answers can only be scored by a judge and none is given; they are kept.

    Examples:
        >>> import halluc
        >>> run = halluc.evaluate("glyph", {"vhr": {"gain": 1.5}}, "glyph_pope", limit=2)
        >>> run.board.rows[1].method_args["gain"]
        1.5
    """
    from halluc.evaluation import calibrations_of, evaluate_together, open_model

    folder = Path(output_dir)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output_dir {str(folder)!r} is a file; give a folder")
    chosen = choose(methods)
    text = benchmarks if isinstance(benchmarks, str) else ",".join(benchmarks)
    names, options = checked_benchmarks(text, benchmark_args or {})
    with findable(chosen):
        values = {
            "model": _model_config(model, model_options),
            "decoding": checked(DecodingConfig, dict(decoding or {}), "decoding"),
            "benchmarks": names,
            "benchmark_args": options,
            "limit": limit,
            "batch_size": batch_size,
            "share": share,
        }
        config = checked(RunConfig, values, "evaluate")
        configs = [
            config.model_copy(update={"method": one}) for one in configs_of(chosen, baseline)
        ]
        loaded = model.adapter if isinstance(model, LoadedModel) else open_model(configs)
        file = None if calibration is None else Path(calibration)
        runs = evaluate_together(
            configs,
            folder,
            model=loaded,
            calibrations=calibrations_of(configs, folder, loaded.fingerprint, file),
            workers=workers,
        )
    return Results(tuple(runs))


def _model_config(model: Any, options: Mapping[str, Any]) -> ModelConfig:
    if of_decoding := sorted(options.keys() & DecodingConfig.model_fields.keys()):
        name = of_decoding[0]
        raise UserError(f"evaluate: write decoding={{{name!r}: {shown(options[name])}}}")
    if isinstance(model, LoadedModel):
        if options:
            raise UserError(f"evaluate: the model is loaded already; leave out {min(options)!r}")
        return model.config
    if not isinstance(model, str):
        raise UserError(
            f"evaluate: {type(model).__name__} is not a model; give a name or what halluc.load "
            "returns (a RunConfig goes to halluc.evaluation.evaluate)"
        )
    return checked(ModelConfig, {"name": model, **options}, "evaluate")
