"""Run of a calibration: measure a method's parameters and write them to disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import save_file

from halluc.calibration.calibration_file import Calibration, calibration_path
from halluc.calibration.calibration_samples import (
    drawn,
    from_benchmark,
    from_folder,
    refuse_too_many,
)
from halluc.calibration.calibrator import Calibrator
from halluc.config import ModelConfig
from halluc.errors import UserError
from halluc.files import write_whole
from halluc.images import BadImage
from halluc.interventions import Method
from halluc.models.load import load_model


class WrittenCalibration(NamedTuple):
    """A calibration, and the file it was written to."""

    calibration: Calibration
    file: Path


def run_calibration(
    cls: type[Method],
    params: Any,
    wanted: ModelConfig,
    images: Path | None,
    benchmark: str | None,
    n: int,
    recalibrate: bool,
    output_dir: Path,
) -> WrittenCalibration:
    """Measure a method's parameters and write them where runs look for them.

    Args:
        params: The method's parameters; those that are not measured stay fixed.
        wanted: The model, and how it is loaded.
        images, benchmark: Source of the samples; drawn scenes if both are None.
        n: Number of samples.
        recalibrate: Measure even where constants are published for the checkpoint.

    Raises:
        UserError: If the method has nothing to measure, the samples are too many, or an image
            cannot be opened.
    """
    refuse_too_many(n, "--samples")
    if benchmark is not None:
        samples, source = from_benchmark(benchmark, n), benchmark
    elif images is not None:
        samples, source = from_folder(images, n), str(images)
    else:
        samples, source = drawn(n), "drawn scenes"
    model = load_model(**wanted.model_dump())
    calibrator = Calibrator(model, samples, recalibrate)
    try:
        measured = cls.calibrate(params, calibrator)
    except (BadImage, OSError) as error:
        raise UserError(f"calibration: {error}; take it out, or choose other images") from error
    file = calibration_path(output_dir, model.fingerprint, cls.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    params_to_set = dict(measured.params)
    if measured.tensors:
        vectors = file.with_suffix(".safetensors")
        save_file({key: value.contiguous() for key, value in measured.tensors.items()}, vectors)
        params_to_set["vectors"] = str(vectors)
    calibration = Calibration(
        model=wanted.name,
        fingerprint=model.fingerprint,
        method=cls.name,
        params=params_to_set,
        labelled=calibrator.labelled,
        source=source,
        images=tuple(dict.fromkeys(sample.image_id for sample in samples)),
        report=measured.report,
    )
    write_whole(file, calibration.model_dump_json(indent=2) + "\n")
    return WrittenCalibration(calibration, file)
