"""Load a vision-language model; answer where its layers, heads and image columns are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halluc.models.adapter import VisionLanguageModel
    from halluc.models.load import load_model

__all__ = ["VisionLanguageModel", "load_model"]


def __getattr__(name: str) -> Any:
    """Import torch only when a model is really wanted; names alone need none."""
    if name == "VisionLanguageModel":
        from halluc.models.adapter import VisionLanguageModel

        return VisionLanguageModel
    if name == "load_model":
        from halluc.models.load import load_model

        return load_model
    raise AttributeError(f"module 'halluc.models' has no attribute {name!r}")
