"""Examination of a model and the machine: what is promised of every model, and what is there."""

from halluc.doctor.examination import Report, examine
from halluc.doctor.promises import PROMISES, Finding, check, probe

__all__ = ["PROMISES", "Finding", "Report", "check", "examine", "probe"]
