"""Load a vision-language model; answer where its layers, heads and image columns are."""

from halluc.models.adapter import VisionLanguageModel
from halluc.models.load import load_model

__all__ = ["VisionLanguageModel", "load_model"]
