"""Families with a fixed number of tokens an image."""

from __future__ import annotations

from typing import Any

from tests.kit.families.parts import PATCH, SIDE, SQUARE, config, images, processor, text, tower
from tests.kit.families.words import SIZE, chat, token_id, tokenizer

_IMAGE = token_id("<image>")
_WINDOWS = {"sliding_window": 12, "layer_types": ["sliding_attention", "full_attention"] * 2}


def gemma3() -> tuple[Any, Any]:
    named = {"image_token": "<image>", "boi_token": "<img>", "eoi_token": "</img>"}
    return config(
        "gemma3", vision_config=tower(vision_use_head=False), image_token_index=_IMAGE,
        text_config=text("gemma3_text", query_pre_attn_scalar=8, **_WINDOWS),
        boi_token_index=token_id("<img>"), eoi_token_index=token_id("</img>"),
        mm_tokens_per_image=4,
    ), processor(
        "gemma3", image_processor=images("gemma3", size=SQUARE), tokenizer=tokenizer(**named),
        image_seq_length=4, chat_template=chat("<img>"),
    )  # fmt: skip


def paligemma(kind: str = "gemma", **settings: Any) -> tuple[Any, Any]:
    return config(
        "paligemma", vision_config=tower(vision_use_head=False, projection_dim=32),
        text_config=text(kind, **settings), image_token_index=_IMAGE, projection_dim=32,
        hidden_size=32,
    ), processor(
        "paligemma", image_processor=images("siglip", size=SQUARE, image_seq_length=16),
        tokenizer=tokenizer(image_token="<image>"),
    )  # fmt: skip


def paligemma2() -> tuple[Any, Any]:
    return paligemma("gemma2", attn_logit_softcapping=5.0, **_WINDOWS)


_QFORMER = {
    "vocab_size": SIZE, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 64, "encoder_hidden_size": 32, "initializer_range": 0.2,
}  # fmt: skip


def blip_2() -> tuple[Any, Any]:
    return config(
        "blip-2", vision_config=tower("blip_2_vision_model"), qformer_config=_QFORMER,
        text_config=text("opt", ffn_dim=64, word_embed_proj_dim=32, init_std=0.2),
        num_query_tokens=5, image_token_index=_IMAGE,
    ), processor(
        "blip_2", image_processor=images("blip", size=SQUARE), tokenizer=tokenizer(),
        num_query_tokens=5,
    )  # fmt: skip


def instructblip() -> tuple[Any, Any]:
    queries = tokenizer()
    queries.padding_side = "right"
    return config(
        "instructblip", vision_config=tower("instructblip_vision_model"), text_config=text(),
        qformer_config=_QFORMER, num_query_tokens=5, image_token_index=_IMAGE,
    ), processor(
        "instructblip", image_processor=images("blip", size=SQUARE), tokenizer=tokenizer(),
        qformer_tokenizer=queries, num_query_tokens=5,
    )  # fmt: skip


def idefics2() -> tuple[Any, Any]:
    perceiver = {
        "hidden_size": 32, "resampler_n_latents": 5, "resampler_depth": 1, "resampler_n_heads": 4,
        "resampler_head_dim": 8, "num_key_value_heads": 2, "initializer_range": 0.2,
    }  # fmt: skip
    size = {"shortest_edge": SIDE, "longest_edge": 2 * SIDE}
    return config(
        "idefics2", vision_config=tower("idefics2_vision"), perceiver_config=perceiver,
        text_config=text("mistral", sliding_window=None), image_token_id=_IMAGE,
    ), processor(
        "idefics2", image_processor=images("idefics2", size=size, do_image_splitting=False),
        tokenizer=tokenizer(), image_seq_len=5, chat_template=chat(),
    )  # fmt: skip


def mllama() -> tuple[Any, Any]:
    vision = {
        "hidden_size": 32, "num_hidden_layers": 3, "num_global_layers": 1, "attention_heads": 4,
        "intermediate_size": 64, "vision_output_dim": 64, "image_size": SIDE, "patch_size": PATCH,
        "max_num_tiles": 2, "intermediate_layers_indices": [1], "initializer_range": 0.2,
        "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
    }  # fmt: skip
    rope = {"rope_type": "default", "rope_theta": 10000.0}
    words = text("mllama_text_model", cross_attention_layers=[1, 3], rope_parameters=rope)
    return config(
        "mllama", vision_config=vision, text_config=words.to_dict(),
        image_token_index=token_id("<|image|>"),
    ), processor(
        "mllama", image_processor=images("mllama", size=SQUARE, max_image_tiles=2),
        tokenizer=tokenizer(image_token="<|image|>"), chat_template=chat("<|image|>"),
    )  # fmt: skip
