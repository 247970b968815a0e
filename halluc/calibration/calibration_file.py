"""What was measured, on disk, and the rule that keeps it apart from evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from halluc.config import content_hash
from halluc.errors import UserError
from halluc.types import Sample

FOLDER = "calibrations"


class Calibration(BaseModel):
    """What was measured, of which model, on what.

    Attributes:
        model, fingerprint: The model, and the hash of its weights.
        method: The method whose parameters these are.
        params: Parameters to set where the user sets none.
        labelled: Whether right answers were used, or none were known.
        source: Where the samples came from.
        images: Ids of the images seen.
        report: Numbers for the curious.
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
        """How a run's configuration refers to it: method, source and content hash."""
        digest = content_hash(self.model_dump(mode="json", exclude={"report"}))
        return f"{self.method} on {self.source} ({digest})"


def find_calibration(output_dir: Path, fingerprint: str, method: str) -> Path | None:
    """The calibration of a method on the model of this fingerprint, if there is one."""
    file = place(output_dir, fingerprint, method)
    return file if file.is_file() else None


def place(output_dir: Path, fingerprint: str, method: str) -> Path:
    """Where a calibration of this method lies."""
    return output_dir / FOLDER / f"{method}-{fingerprint}.json"


def read(file: Path) -> Calibration:
    """Read a calibration.

    Raises:
        UserError: If the file is none.
    """
    try:
        return Calibration.model_validate_json(file.read_text())
    except (OSError, ValidationError) as error:
        raise UserError(f"{file} is no calibration; 'halluc calibrate' writes one") from error


def refuse_overlap(calibration: Calibration, benchmark: str, samples: Iterable[Sample]) -> None:
    """Refuse to evaluate on an image that was calibrated on.

    Raises:
        UserError: Naming the first such image.
    """
    seen = set(calibration.images)
    shared = next((s.image_id for s in samples if s.image_id in seen), None)
    if shared is not None:
        raise UserError(
            f"{benchmark}: image {shared!r} was used to calibrate {calibration.method} on "
            f"{calibration.source}; calibrate on other images"
        )
