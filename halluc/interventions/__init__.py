"""How a method touches a model: what it declares (`Method`), and the engine that serves it."""

from halluc.interventions.method import REGISTRY, Method, MethodCard, MethodParams, method
from halluc.interventions.site import Asked, Prompted, Site, VisionSite

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
