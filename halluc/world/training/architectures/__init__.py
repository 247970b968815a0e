"""The embedded models' architectures: small, of transformers' classes, with 64 image tokens."""

from halluc.world.training.architectures.base import (
    COLUMNS,
    IMAGE_TOKENS,
    Architecture,
    embedded,
    save,
)
from halluc.world.training.architectures.idefics3 import Idefics3
from halluc.world.training.architectures.llava import Llava
from halluc.world.training.architectures.qwen2_vl import Qwen2VL

ARCHITECTURES: dict[str, type[Architecture]] = {
    "glyph": Llava,
    "glyph-qwen": Qwen2VL,
    "glyph-smol": Idefics3,
}
"""Architectures by the embedded model's name."""

__all__ = ["ARCHITECTURES", "COLUMNS", "IMAGE_TOKENS", "Architecture", "embedded", "save"]
