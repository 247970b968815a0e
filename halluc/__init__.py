"""halluc: find out, honestly, which inference-time methods stop LVLMs from hallucinating."""

from __future__ import annotations

from typing import Any

from halluc.errors import UserError
from halluc.interventions import (
    At,
    Batch,
    Calibrated,
    Method,
    MethodCard,
    MethodParams,
    SearchLoop,
    method,
)
from halluc.interventions.contrast import contrasted, implausible
from halluc.provenance import VERSION
from halluc.scoring.base import Benchmark, benchmark
from halluc.scoring.card import BenchmarkCard, Metric
from halluc.types import Answer, Sample

__version__ = VERSION

__all__ = [
    "Answer",
    "At",
    "Batch",
    "Benchmark",
    "BenchmarkCard",
    "Calibrated",
    "Method",
    "MethodCard",
    "MethodParams",
    "Metric",
    "Sample",
    "SearchLoop",
    "UserError",
    "benchmark",
    "contrasted",
    "evaluate",
    "implausible",
    "load_model",
    "method",
]


def __getattr__(name: str) -> Any:
    """Import what needs torch only when it is asked for."""
    if name == "load_model":
        from halluc.models import load_model

        return load_model
    if name == "evaluate":
        from halluc.evaluation import evaluate

        return evaluate
    raise AttributeError(f"module 'halluc' has no attribute {name!r}")
