"""Evaluation of runs: a model with a method answers benchmarks, and the answers are scored."""

from halluc.evaluation.preparing import Model, baseline_of, calibrations_of, endpoint_of, open_model
from halluc.evaluation.running import (
    Evaluation,
    Questions,
    evaluate,
    evaluate_together,
    questions_of,
)

__all__ = [
    "Evaluation",
    "Model",
    "Questions",
    "baseline_of",
    "calibrations_of",
    "endpoint_of",
    "evaluate",
    "evaluate_together",
    "open_model",
    "questions_of",
]
