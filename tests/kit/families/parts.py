"""The parts that tiny models are put together from."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForImageTextToText
from transformers.configuration_utils import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from halluc.models.processors import without_videos
from tests.kit.families.words import SIZE

SIDE, PATCH = 32, 8  # pixels; 4 x 4 patches a picture
SQUARE = {"height": SIDE, "width": SIDE}


def config(kind: str, **settings: Any) -> PreTrainedConfig:
    """The configuration class that transformers knows by this name."""
    made: PreTrainedConfig = CONFIG_MAPPING[kind](**settings)
    return made


def text(kind: str = "llama", **settings: Any) -> PreTrainedConfig:
    """A language model of 4 layers with 4 heads of 8, 2 key-value heads."""
    common: dict[str, Any] = {
        "vocab_size": SIZE, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
        "max_position_embeddings": 512, "initializer_range": 0.2,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    }  # fmt: skip
    return config(kind, **common | settings)


TOWER: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    "image_size": SIDE, "patch_size": PATCH, "initializer_range": 0.2,
}  # fmt: skip


def tower(kind: str = "siglip_vision_model", **settings: Any) -> PreTrainedConfig:
    """A vision tower of 3 layers with 4 heads of 8."""
    return config(kind, **TOWER | settings)


def images(kind: str, **settings: Any) -> Any:
    """A family's image processor, the one that needs no torchvision."""
    module = import_module(f"transformers.models.{kind}.image_processing_pil_{kind}")
    name = next(name for name in module.__all__ if name.endswith("ImageProcessorPil"))
    return getattr(module, name)(**settings)


def processor(kind: str, **parts: Any) -> Any:
    """A family's processor, as models are loaded with it: without its reader of videos.

    SmolVLM's cannot do without, and transformers' reader needs torchvision: it gets a stand-in, and
    only the check that one is there is left out.
    """
    module = import_module(f"transformers.models.{kind}.processing_{kind}")
    cls = getattr(module, module.__all__[0])
    if image_only := without_videos(cls):
        cls = image_only
    elif "video_processor" in cls.get_attributes():
        parts["video_processor"] = SimpleNamespace(num_frames=1, fps=1)
        unchecked = {"check_argument_for_proper_class": lambda self, name, part: None}
        cls = type(cls.__name__, (cls,), unchecked)
    return cls(**parts)


@torch.no_grad()
def model(settings: PreTrainedConfig, seed: int = 0) -> Any:
    """A model with random weights, those included that start from zero (gates, queries)."""
    torch.manual_seed(seed)
    made = AutoModelForImageTextToText.from_config(settings).eval()
    for parameter in made.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.2)
    made.generation_config.eos_token_id = 2
    made.generation_config.pad_token_id = 0
    return made
