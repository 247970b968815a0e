"""Evaluation of runs: a model with a method answers benchmarks, and the answers are scored."""

from halluc.evaluation.preparing import Model, baseline_of, open_model
from halluc.evaluation.running import Evaluation, evaluate, evaluate_together

__all__ = ["Evaluation", "Model", "baseline_of", "evaluate", "evaluate_together", "open_model"]
