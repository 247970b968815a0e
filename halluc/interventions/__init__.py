"""How a method touches a model: what it declares (`Method`), and the engine that serves it."""

from halluc.interventions.base import REGISTRY, Method, MethodCard, MethodParams, method
from halluc.interventions.context import Asked, Prompted, Site, VisionSite

__all__ = [
    "REGISTRY",
    "Asked",
    "Method",
    "MethodCard",
    "MethodParams",
    "Prompted",
    "Site",
    "VisionSite",
    "method",
]
