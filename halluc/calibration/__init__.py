"""Measure what papers hard-code, on a handful of samples that no evaluation may use.

`halluc calibrate` writes a small JSON; a run with the same model and method picks it up, names it
in its configuration, and is refused if it asks about an image the calibration has seen.
"""

from halluc.calibration.handful import Handful, Measure
from halluc.calibration.record import Calibration, find_calibration, read, refuse_overlap

__all__ = ["Calibration", "Handful", "Measure", "find_calibration", "read", "refuse_overlap"]
