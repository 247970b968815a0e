"""halluc: find out, honestly, which inference-time methods stop LVLMs from hallucinating."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halluc.errors import UserError
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
    from halluc.provenance import VERSION as __version__
    from halluc.python_api.comparing import Comparison, compare, score
    from halluc.python_api.evaluating import evaluate
    from halluc.python_api.hooking import intervene
    from halluc.python_api.loaded_model import LoadedModel, Reply, load
    from halluc.python_api.looking import trace
    from halluc.python_api.results import AnsweredSample, Results
    from halluc.scoring.base import Benchmark, benchmark
    from halluc.scoring.card import BenchmarkCard, Metric
    from halluc.types import Answer, Reading, Sample

__all__ = [
    "Answer",
    "AnsweredSample",
    "At",
    "Batch",
    "Benchmark",
    "BenchmarkCard",
    "Calibrated",
    "Comparison",
    "Cost",
    "LoadedModel",
    "Method",
    "MethodCard",
    "MethodParams",
    "Metric",
    "Reading",
    "Reply",
    "Results",
    "Sample",
    "SearchLoop",
    "TwoStreams",
    "UserError",
    "__version__",
    "benchmark",
    "compare",
    "contrasted",
    "evaluate",
    "implausible",
    "intervene",
    "load",
    "method",
    "score",
    "trace",
]

_HOMES = {
    "halluc.errors": ("UserError",),
    "halluc.interventions": (
        *("At", "Batch", "Calibrated", "Cost", "Method", "MethodCard", "MethodParams"),
        *("SearchLoop", "TwoStreams", "method"),
    ),
    "halluc.interventions.contrast": ("contrasted", "implausible"),
    "halluc.python_api.comparing": ("Comparison", "compare", "score"),
    "halluc.python_api.evaluating": ("evaluate",),
    "halluc.python_api.hooking": ("intervene",),
    "halluc.python_api.loaded_model": ("LoadedModel", "Reply", "load"),
    "halluc.python_api.looking": ("trace",),
    "halluc.python_api.results": ("AnsweredSample", "Results"),
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
