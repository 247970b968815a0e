"""One small tokenizer for all families: whole words, and every family's special tokens."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

WORDS = (
    "is there a dog cat car in the image describe this please yes no Yes No ? . USER: ASSISTANT:"
)
_TILES = [f"<row_{row}_col_{col}>" for row in (1, 2) for col in (1, 2)]
_IMAGE = [
    "<image>", "<|image|>", "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>",
    "[IMG]", "[IMG_BREAK]", "[IMG_END]", "<img>", "</img>", "<IMG_CONTEXT>", "<video>",
    "<fake_token_around_image>", "<end_of_utterance>", "<global-img>", *_TILES,
    "<|image_start|>", "<|image_end|>", "<|img_thumbnail|>", "<|img_row_1_col_1|>",
    "<|img_row_1_col_2|>", "<|IMG_PATCH|>", "<|START_OF_IMG|>", "<|END_OF_IMG|>",
    "<|IMG_LINE_BREAK|>", "TILE_GLOBAL", "TILE_1", "TILE_2", "TILE_3",
    "<IMG_START>", "<IMG_ATOM>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>",
    "<|begin_of_image|>", "<|end_of_image|>", "<|video|>", "<|begin_of_video|>",
    "<|end_of_video|>",
]  # fmt: skip
_SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", *_IMAGE]
SIZE = len(_SPECIAL) + len(WORDS.split())


def tokenizer(**named: str) -> PreTrainedTokenizerFast:
    """Whole words, BOS in front.

    Args:
        named: Special tokens that a processor asks its tokenizer for by name.
    """
    vocab = {word: i for i, word in enumerate([*_SPECIAL, *WORDS.split()])}
    core = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    extra: dict[str, Any] = {"extra_special_tokens": named} if named else {}
    words = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        unk_token="<unk>", padding_side="left", **extra,
    )  # fmt: skip
    words.add_special_tokens({"additional_special_tokens": _IMAGE})
    return words


def token_id(token: str) -> int:
    """The id of a special token."""
    return _SPECIAL.index(token)


def chat(image: str = "<image>") -> str:
    """A chat template whose image placeholder is `image`."""
    return (
        "{% for message in messages %}{{ '' if loop.first else ' ' }}"
        "{{ 'USER: ' if message['role'] == 'user' else 'ASSISTANT:' }}"
        "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
        + image
        + "{% else %} {{ part['text'] }}{% endif %}"
        "{% endfor %}{% endfor %}{% if add_generation_prompt %} ASSISTANT:{% endif %}"
    )
