"""A tiny loaded model."""

from __future__ import annotations

from halluc.config import ModelConfig
from halluc.python_api.loaded_model import LoadedModel
from tests.kit.families import llava


def loaded() -> LoadedModel:
    """Return a random LLaVA as `halluc.load` would."""
    return LoadedModel(ModelConfig(name="tiny"), llava())
