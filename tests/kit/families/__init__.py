"""Tiny random models of real transformers classes, each with its processor; no download."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from transformers import (
    Blip2Config,
    Florence2Config,
    InstructBlipConfig,
    JanusConfig,
    Kosmos2Config,
    T5Config,
)

from halluc.models import VisionLanguageModel
from tests.kit.families import dynamic, fixed, parts, tiles
from tests.kit.families import llava as patches

_MODULES = (patches, tiles, dynamic, fixed)
_ZOO: dict[str, Callable[..., tuple[Any, Any]]] = {
    name: made
    for module in _MODULES
    for name, made in vars(module).items()
    if callable(made) and made.__module__ == module.__name__ and not name.startswith("_")
}
FAMILIES = sorted(_ZOO)
"""Names to `build`; the families of `halluc.models.families`, and variants of them."""

REFUSED = {
    "florence-2": Florence2Config(),
    "blip-2 with T5": Blip2Config(text_config=T5Config().to_dict(), image_token_index=9),
    "kosmos-2": Kosmos2Config(),
    "instructblip of old": InstructBlipConfig(),
    "janus": JanusConfig(),
}
"""Configurations of models that cannot be served."""


def build(name: str, seed: int = 0, **settings: Any) -> VisionLanguageModel:
    """A tiny model of a family: 4 layers of 4 heads, random weights."""
    config, processor = _ZOO[name](**settings)
    return VisionLanguageModel(f"tiny-{name}", parts.model(config, seed), processor)


def llava(seed: int = 0, tower_layers: int = 3, **text: Any) -> VisionLanguageModel:
    """LLaVA with 16 image tokens, 4 layers of 4 heads (2 key-value heads), random weights."""
    return build("llava", seed, tower_layers=tower_layers, **text)


def picture(seed: int, width: int = 32, height: int = 32) -> Image.Image:
    """A picture of noise."""
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (height, width, 3), generator=draw)
    return Image.fromarray(pixels.to(torch.uint8).numpy())


def prompts(model: VisionLanguageModel, *questions: str) -> dict[str, torch.Tensor]:
    """Questions about different pictures, encoded as one left-padded batch."""
    rendered = [model.render(question) for question in questions]
    return model.encode(rendered, [picture(i) for i in range(len(questions))])


def image_layers(model: VisionLanguageModel) -> list[int]:
    """Layers whose keys hold the image."""
    return sorted(model.cross_attention or model.self_attention)
