"""LLaVA and its kin: an image token is a patch of the vision tower."""

from __future__ import annotations

from typing import Any

from tests.kit.families.parts import PATCH, SIDE, SQUARE, config, images, processor, text, tower
from tests.kit.families.words import chat, token_id, tokenizer

_IMAGE = token_id("<image>")
_TILES = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
_CLIP = {"size": {"shortest_edge": SIDE}, "crop_size": SQUARE}
_PATCHES = {
    "patch_size": PATCH, "vision_feature_select_strategy": "default",
    "num_additional_image_tokens": 1,
}  # fmt: skip


def llava(tower_layers: int = 3, **settings: Any) -> tuple[Any, Any]:
    return config(
        "llava", vision_config=tower("clip_vision_model", num_hidden_layers=tower_layers),
        text_config=text(**settings), image_token_id=_IMAGE, vision_feature_layer=-2,
    ), processor(
        "llava", image_processor=images("clip", **_CLIP), tokenizer=tokenizer(),
        chat_template=chat(), **_PATCHES,
    )  # fmt: skip


def vipllava() -> tuple[Any, Any]:
    return config(
        "vipllava", vision_config=tower("clip_vision_model"), text_config=text(),
        image_token_index=_IMAGE, vision_feature_layers=(-2, -1),
    ), llava()[1]  # fmt: skip


def llava_next() -> tuple[Any, Any]:
    return config(
        "llava_next", vision_config=tower("clip_vision_model"), text_config=text(),
        image_token_index=_IMAGE, vision_feature_layer=-2, image_grid_pinpoints=_TILES,
    ), processor(
        "llava_next", image_processor=images("llava_next", image_grid_pinpoints=_TILES, **_CLIP),
        tokenizer=tokenizer(), chat_template=chat(), **_PATCHES,
    )  # fmt: skip


def llava_onevision() -> tuple[Any, Any]:
    return config(
        "llava_onevision", vision_config=tower(), text_config=text("qwen2"),
        image_token_index=_IMAGE, video_token_index=token_id("<video>"),
        image_grid_pinpoints=_TILES,
    ), processor(
        "llava_onevision", tokenizer=tokenizer(), num_image_tokens=16, chat_template=chat(),
        image_processor=images("llava_onevision", size=SQUARE, image_grid_pinpoints=_TILES),
        vision_feature_select_strategy="full",
    )  # fmt: skip
