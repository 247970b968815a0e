"""Measure what papers hard-code, on a handful of samples that no evaluation may use.

`halluc calibrate` writes a small JSON; a run with the same model and method picks it up, names it
in its configuration, and is refused if it asks about an image the calibration has seen.
"""

from halluc.calibration.calibration_file import Calibration, find_calibration, read, refuse_overlap
from halluc.calibration.calibrator import Handful, Measure

__all__ = ["Calibration", "Handful", "Measure", "find_calibration", "read", "refuse_overlap"]
