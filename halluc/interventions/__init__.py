"""Methods and the engine: what a method declares (`Method`), and how it is served."""

from halluc.interventions.base import REGISTRY, Method, method, no_method
from halluc.interventions.card import Calibrated, Cost, MethodCard, MethodParams
from halluc.interventions.context import Ask, At, Batch, BatchState
from halluc.interventions.search_loop import SearchLoop
from halluc.interventions.two_streams import TwoStreams

__all__ = [
    "REGISTRY",
    "Ask",
    "At",
    "Batch",
    "BatchState",
    "Calibrated",
    "Cost",
    "Method",
    "MethodCard",
    "MethodParams",
    "SearchLoop",
    "TwoStreams",
    "method",
    "no_method",
]
