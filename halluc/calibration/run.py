"""What `halluc calibrate` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halluc.calibration.handful import Handful
from halluc.calibration.record import Calibration, place
from halluc.calibration.sources import drawn, from_benchmark, from_folder
from halluc.interventions import Method
from halluc.models import load_model


def run_calibration(
    cls: type[Method],
    params: Any,
    model_name: str,
    images: Path | None,
    benchmark: str | None,
    n: int,
    recalibrate: bool,
    output_dir: Path,
) -> tuple[Calibration, Path]:
    """Measure a method's parameters and write them where runs look for them.

    Args:
        params: The method's parameters; those that are not measured stay fixed.
        images, benchmark: Where samples come from; drawn scenes if both are None.
        n: How many samples.
        recalibrate: Measure even where constants are published for the checkpoint.

    Raises:
        UserError: If there is nothing to measure.
    """
    if benchmark is not None:
        samples, source = from_benchmark(benchmark, n), benchmark
    elif images is not None:
        samples, source = from_folder(images, n), str(images)
    else:
        samples, source = drawn(n), "drawn scenes"
    model = load_model(model_name)
    handful = Handful(model, samples, recalibrate)
    found, report = cls.calibrate(params, handful)
    calibration = Calibration(
        model=model_name,
        fingerprint=model.fingerprint,
        method=cls.name,
        params=found,
        labelled=handful.labelled,
        source=source,
        images=tuple(dict.fromkeys(sample.image_id for sample in samples)),
        report=report,
    )
    file = place(output_dir, model, cls.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(calibration.model_dump_json(indent=2) + "\n")
    return calibration, file
