"""Methods and the engine: what a method declares (`Method`), and how it is served."""

from halluc.interventions.base import (
    REGISTRY,
    Calibrated,
    Method,
    MethodCard,
    MethodParams,
    method,
)
from halluc.interventions.context import At, Batch, BatchState
from halluc.interventions.search_loop import SearchLoop

__all__ = [
    "REGISTRY",
    "At",
    "Batch",
    "BatchState",
    "Calibrated",
    "Method",
    "MethodCard",
    "MethodParams",
    "SearchLoop",
    "method",
]
