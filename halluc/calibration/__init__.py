"""Measure what papers hard-code, on a few samples that no evaluation may use.

`halluc calibrate` writes a small JSON; a run with the same model and method picks it up, names it
in its configuration, and is refused if it asks about an image the calibration has seen.
"""

from halluc.calibration.calibration_file import Calibration, find_calibration, read, refuse_overlap
from halluc.calibration.calibrator import Calibrator, Measure

__all__ = ["Calibration", "Calibrator", "Measure", "find_calibration", "read", "refuse_overlap"]
