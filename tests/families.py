"""Tiny random models of real transformers classes, each with a real processor; no download."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from halluc.models import VisionLanguageModel

WORDS = (
    "is there a dog cat car in the image describe this please yes no Yes No ? . USER: ASSISTANT:"
)
CHAT = (
    "{% for message in messages %}{{ '' if loop.first else ' ' }}"
    "{{ 'USER: ' if message['role'] == 'user' else 'ASSISTANT:' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %} {{ part['text'] }}{% endif %}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """Whole words, BOS in front."""
    specials = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
    vocab = {word: i for i, word in enumerate([*specials, *WORDS.split()])}
    core = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
        padding_side="left",
    )


def llava(seed: int = 0, tower_layers: int = 3, **text: Any) -> VisionLanguageModel:
    """LLaVA with 16 image tokens, 4 layers of 4 heads (2 key-value heads), random weights."""
    torch.manual_seed(seed)
    words = tokenizer()
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=tower_layers, num_attention_heads=4,
        image_size=32, patch_size=8,
    )  # fmt: skip
    settings: dict[str, Any] = {
        "vocab_size": len(words), "hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 256, "initializer_range": 0.2,
    }  # fmt: skip
    config = LlavaConfig(
        vision_config=vision,
        text_config=LlamaConfig(**settings | text),
        image_token_id=words.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
    )
    model = LlavaForConditionalGeneration(config).eval()
    model.generation_config.eos_token_id = words.eos_token_id
    model.generation_config.pad_token_id = words.pad_token_id
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ),
        tokenizer=words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    )
    return VisionLanguageModel(name="tiny-llava", model=model, processor=processor)


def picture(seed: int) -> Image.Image:
    """A 32 x 32 picture of noise."""
    pixels = torch.randint(0, 256, (32, 32, 3), generator=torch.Generator().manual_seed(seed))
    return Image.fromarray(pixels.to(torch.uint8).numpy())


def prompts(model: VisionLanguageModel, *questions: str) -> dict[str, torch.Tensor]:
    """Questions about different pictures, encoded as one left-padded batch."""
    rendered = [model.render(question) for question in questions]
    return model.encode(rendered, [picture(i) for i in range(len(questions))])
