"""How a method touches a model: what it declares (`Method`), and the engine that serves it."""

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
