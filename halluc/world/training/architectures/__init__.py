"""The embedded models' architectures: real transformers classes, small, all with 64 image tokens."""

from halluc.world.training.architectures.base import COLUMNS, IMAGE_TOKENS, Architecture, save
from halluc.world.training.architectures.idefics3 import Idefics3
from halluc.world.training.architectures.llava import Llava
from halluc.world.training.architectures.qwen2_vl import Qwen2VL

ARCHITECTURES: dict[str, type[Architecture]] = {
    "glyph": Llava,
    "glyph-qwen": Qwen2VL,
    "glyph-smol": Idefics3,
}
"""Architectures by the embedded model's name."""

__all__ = ["ARCHITECTURES", "COLUMNS", "IMAGE_TOKENS", "Architecture", "save"]
