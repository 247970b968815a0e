"""Families that take images at their own size: as many tokens as they have patches."""

from __future__ import annotations

from typing import Any

from tests.kit.families.parts import PATCH, SIDE, config, images, processor, text, tower
from tests.kit.families.standins import PixtralProcessor
from tests.kit.families.words import chat, token_id, tokenizer

_MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
_TOWER = {
    "depth": 3, "num_heads": 4, "patch_size": PATCH, "spatial_merge_size": 2,
    "temporal_patch_size": 2, "hidden_size": 32,
}  # fmt: skip
_WIDE = _TOWER | {"out_hidden_size": 32, "intermediate_size": 64}
_PIXELS = {"patch_size": PATCH, "min_pixels": 16 * 16, "max_pixels": 64 * 64}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
_LINEAR = {
    "linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "layer_types": ["linear_attention", *["full_attention"] * 2, "linear_attention"],
}  # fmt: skip


def _qwen(kind: str, vision: dict[str, Any], of: str, **settings: Any) -> tuple[Any, Any]:
    marks = {
        "image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>",
    }  # fmt: skip
    words = text(f"{kind}_text", rope_parameters=_MROPE, **settings)
    return config(
        kind, vision_config=vision, text_config=words.to_dict(),
        **{name: token_id(mark) for name, mark in marks.items()},
    ), processor(
        of, image_processor=images("qwen2_vl", **_PIXELS), tokenizer=tokenizer(),
        chat_template=chat("<|vision_start|><|image_pad|><|vision_end|>"),
    )  # fmt: skip


def qwen2_vl() -> tuple[Any, Any]:
    return _qwen("qwen2_vl", _TOWER | {"embed_dim": 32, "mlp_ratio": 2}, "qwen2_vl")


def qwen2_5_vl() -> tuple[Any, Any]:
    windows = {"window_size": 4 * PATCH, "fullatt_block_indexes": [2]}
    return _qwen("qwen2_5_vl", _WIDE | windows, "qwen2_5_vl")


_DEEPSTACK = {"num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1]}


def qwen3_vl() -> tuple[Any, Any]:
    return _qwen("qwen3_vl", _WIDE | _DEEPSTACK, "qwen3_vl")


def qwen3_vl_moe() -> tuple[Any, Any]:
    return _qwen("qwen3_vl_moe", _WIDE | _DEEPSTACK, "qwen3_vl", **_EXPERTS)


def qwen3_5() -> tuple[Any, Any]:
    return _qwen("qwen3_5", _WIDE | {"num_position_embeddings": 16}, "qwen3_vl", **_LINEAR)


def glm4v() -> tuple[Any, Any]:
    marks = {
        "image_token_id": "<|image|>", "video_token_id": "<|video|>",
        "image_start_token_id": "<|begin_of_image|>", "image_end_token_id": "<|end_of_image|>",
        "video_start_token_id": "<|begin_of_video|>", "video_end_token_id": "<|end_of_video|>",
    }  # fmt: skip
    words = text("glm4v_text", rope_parameters=_MROPE | {"partial_rotary_factor": 1.0})
    size = {"shortest_edge": 2 * 16 * 16, "longest_edge": 2 * 64 * 64}
    return config(
        "glm4v", vision_config=_WIDE | {"image_size": SIDE}, text_config=words.to_dict(),
        **{name: token_id(mark) for name, mark in marks.items()},
    ), processor(
        "glm4v", image_processor=images("glm4v", patch_size=PATCH, size=size),
        tokenizer=tokenizer(image_token="<|image|>", video_token="<|video|>"),
        chat_template=chat("<|begin_of_image|><|image|><|end_of_image|>"),
    )  # fmt: skip


def mistral3() -> tuple[Any, Any]:
    vision = tower("pixtral", image_size=2 * SIDE, head_dim=8)
    token = 2 * PATCH
    sizes = {"size": {"longest_edge": 2 * SIDE}, "patch_size": {"height": token, "width": token}}
    return config(
        "mistral3", vision_config=vision, text_config=text("mistral", sliding_window=12),
        image_token_index=token_id("[IMG]"), spatial_merge_size=2,
    ), PixtralProcessor(
        images("pixtral", **sizes), tokenizer(), patch_size=token, chat_template=chat("[IMG]")
    )  # fmt: skip
