"""Examination of a model and the machine: what is promised of every model, and what is there."""

from halluc.doctor.examination import Examination, examine
from halluc.doctor.promises import PROMISES, Check, check, probe

__all__ = ["PROMISES", "Check", "Examination", "check", "examine", "probe"]
