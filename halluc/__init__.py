"""halluc: find out, honestly, which inference-time methods stop LVLMs from hallucinating."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halluc.errors import UserError
    from halluc.evaluation import evaluate
    from halluc.interventions import (
        At,
        Batch,
        Calibrated,
        Cost,
        Method,
        MethodCard,
        MethodParams,
        SearchLoop,
        TwoStreams,
        method,
    )
    from halluc.interventions.contrast import contrasted, implausible
    from halluc.models import load_model
    from halluc.provenance import VERSION as __version__
    from halluc.scoring.base import Benchmark, benchmark
    from halluc.scoring.card import BenchmarkCard, Metric
    from halluc.types import Answer, Reading, Sample

__all__ = [
    "Answer",
    "At",
    "Batch",
    "Benchmark",
    "BenchmarkCard",
    "Calibrated",
    "Cost",
    "Method",
    "MethodCard",
    "MethodParams",
    "Metric",
    "Reading",
    "Sample",
    "SearchLoop",
    "TwoStreams",
    "UserError",
    "__version__",
    "benchmark",
    "contrasted",
    "evaluate",
    "implausible",
    "load_model",
    "method",
]

_HOMES = {
    "halluc.errors": ("UserError",),
    "halluc.evaluation": ("evaluate",),
    "halluc.interventions": (
        *("At", "Batch", "Calibrated", "Cost", "Method", "MethodCard", "MethodParams"),
        *("SearchLoop", "TwoStreams", "method"),
    ),
    "halluc.interventions.contrast": ("contrasted", "implausible"),
    "halluc.models": ("load_model",),
    "halluc.scoring.base": ("Benchmark", "benchmark"),
    "halluc.scoring.card": ("BenchmarkCard", "Metric"),
    "halluc.types": ("Answer", "Reading", "Sample"),
}
"""Where each name comes from; it is imported when it is asked for, so that start-up is light."""


def __getattr__(name: str) -> Any:
    """Import a name of the public API."""
    if name == "__version__":
        from halluc.provenance import VERSION

        return VERSION
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'halluc' has no attribute {name!r}")
