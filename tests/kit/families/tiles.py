"""Families that cut large images into tiles and merge neighbouring patches to a token."""

from __future__ import annotations

from typing import Any

from transformers import AyaVisionProcessor, Lfm2VlProcessor

from tests.kit.families.parts import (
    PATCH,
    SIDE,
    SQUARE,
    TOWER,
    config,
    images,
    processor,
    text,
    tower,
)
from tests.kit.families.standins import Cohere2VisionImages, Lfm2VlImages
from tests.kit.families.words import chat, token_id, tokenizer

_IMAGE = token_id("<image>")


def internvl() -> tuple[Any, Any]:
    named = {
        "start_image_token": "<img>", "end_image_token": "</img>", "video_token": "<video>",
        "context_image_token": "<IMG_CONTEXT>",
    }  # fmt: skip
    return config(
        "internvl", text_config=text("qwen2"), image_seq_length=4,
        vision_config=tower("internvl_vision", image_size=[SIDE, SIDE], patch_size=[PATCH, PATCH]),
        image_token_id=token_id("<IMG_CONTEXT>"),
    ), processor(
        "internvl", image_processor=images("got_ocr2", size=SQUARE, max_patches=4),
        tokenizer=tokenizer(**named), image_seq_length=4, chat_template=chat("<IMG_CONTEXT>"),
    )  # fmt: skip


def aya_vision() -> tuple[Any, Any]:
    return config(
        "aya_vision", vision_config=tower(), image_token_index=token_id("<|IMG_PATCH|>"),
        text_config=text("cohere2", sliding_window=12, layer_types=_WINDOWS),
    ), AyaVisionProcessor(
        images("got_ocr2", size=SQUARE, max_patches=3), tokenizer(), patch_size=PATCH,
        img_size=SIDE, downsample_factor=2, chat_template=chat(),
    )  # fmt: skip


def cohere2_vision() -> tuple[Any, Any]:
    named = {
        "boi_token": "<|START_OF_IMG|>", "eoi_token": "<|END_OF_IMG|>",
        "image_token": "<|IMG_PATCH|>", "img_line_break_token": "<|IMG_LINE_BREAK|>",
    }  # fmt: skip
    return config(
        "cohere2_vision", vision_config=tower(), text_config=text("cohere2"),
        alignment_intermediate_size=64, image_token_id=token_id("<|IMG_PATCH|>"),
    ), processor(
        "cohere2_vision", tokenizer=tokenizer(**named), chat_template=chat("<|IMG_PATCH|>"),
        image_processor=Cohere2VisionImages(size=SQUARE, max_patches=4, crop_to_patches=True),
    )  # fmt: skip


def ovis2() -> tuple[Any, Any]:
    marks = ("<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>")
    return config(
        "ovis2", vision_config=TOWER | {"vocab_size": 64}, text_config=text("qwen2"),
        image_token_id=token_id("<IMG_ATOM>"), hidden_size=32, vocab_size=text().vocab_size,
        visual_indicator_token_ids=[token_id(mark) for mark in marks],
    ), processor(
        "ovis2", image_processor=images("ovis2", size=SQUARE, crop_to_patches=True, max_patches=4),
        tokenizer=tokenizer(), image_seq_length=16, chat_template=chat(),
    )  # fmt: skip


def idefics3() -> tuple[Any, Any]:
    return config(
        "idefics3", vision_config=tower("idefics3_vision"), text_config=text(), scale_factor=2,
        image_token_id=_IMAGE, pad_token_id=0,
    ), processor(
        "idefics3", image_processor=images("idefics3", **_SPLIT), tokenizer=tokenizer(),
        image_seq_len=4, chat_template=chat(),
    )  # fmt: skip


def smolvlm() -> tuple[Any, Any]:
    return config(
        "smolvlm", vision_config=tower("smolvlm_vision"), text_config=text(), scale_factor=2,
        image_token_id=_IMAGE, pad_token_id=0,
    ), processor(
        "smolvlm", image_processor=images("smolvlm", **_SPLIT), tokenizer=tokenizer(),
        image_seq_len=4, chat_template=chat(),
    )  # fmt: skip


def lfm2_vl() -> tuple[Any, Any]:
    settings = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "patch_size": PATCH,
        "num_attention_heads": 4, "num_patches": 16, "vision_use_head": False,
    }  # fmt: skip
    return config(
        "lfm2_vl", vision_config=config("siglip2_vision_model", **settings),
        text_config=text("lfm2", layer_types=_CONVOLUTIONS, block_ff_dim=64),
        image_token_id=_IMAGE, projector_hidden_size=32,
    ), Lfm2VlProcessor(
        Lfm2VlImages(patch_size=PATCH, max_num_patches=24), tokenizer(image_token="<image>"),
        chat_template=chat(),
    )  # fmt: skip


_SPLIT = {"size": {"longest_edge": 2 * SIDE}, "max_image_size": {"longest_edge": SIDE}}
_CONVOLUTIONS = ["conv", *["full_attention"] * 2, "conv"]
_WINDOWS = ["sliding_attention", "full_attention"] * 2
