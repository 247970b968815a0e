"""Calibrations on disk, and the rule that keeps them apart from evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from halluc.config import content_hash
from halluc.data.records import text_of
from halluc.errors import UserError
from halluc.types import Sample

FOLDER = "calibrations"


class Calibration(BaseModel):
    """Measured parameters of a method, with the model and the samples they were measured on.

    Attributes:
        model, fingerprint: The model, and the hash of its weights.
        method: The method whose parameters these are.
        params: Parameters to set where the user sets none.
        labelled: True if the samples' right answers were known and used.
        source: The samples' origin.
        images: Ids of the images used.
        report: Measurements that led to the parameters; no run reads them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    fingerprint: str
    method: str
    params: dict[str, Any]
    labelled: bool
    source: str
    images: tuple[str, ...]
    report: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """Its name in a run's configuration: method, source and content hash."""
        digest = content_hash(self.model_dump(mode="json", exclude={"report"}))
        return f"{self.method} on {self.source} ({digest})"


def find_calibration(output_dir: Path, fingerprint: str, method: str) -> Path | None:
    """Find the calibration of a method on the model of this fingerprint; None without one."""
    file = calibration_path(output_dir, fingerprint, method)
    return file if file.is_file() else None


def calibration_path(output_dir: Path, fingerprint: str, method: str) -> Path:
    """Return the path of a method's calibration, whether it exists or not."""
    return output_dir / FOLDER / f"{method}-{fingerprint}.json"


def read(file: Path) -> Calibration:
    """Read a calibration.

    Raises:
        UserError: If the file cannot be read, or is not a calibration.
    """
    try:
        return Calibration.model_validate_json(text_of(file))
    except (UserError, ValueError) as error:
        raise UserError(f"{file} is not a calibration; 'halluc calibrate' writes one") from error


def refuse_overlap(calibration: Calibration, benchmark: str, samples: Iterable[Sample]) -> None:
    """Refuse to evaluate on an image that was calibrated on.

    Raises:
        UserError: Naming the first such image.
    """
    used = set(calibration.images)
    shared = next((s.image_id for s in samples if s.image_id in used), None)
    if shared is not None:
        raise UserError(
            f"{benchmark}: image {shared!r} was used to calibrate {calibration.method} on "
            f"{calibration.source}; calibrate on other images"
        )
