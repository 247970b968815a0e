"""The glyph model: a LLaVA of about three million parameters, built and saved like any other."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from transformers import (
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from halluc.world.backgrounds import SIDE
from halluc.world.training.tokenizer import IMAGE, build_tokenizer

PATCH = 16
"""Side of a patch in pixels."""
PATCHES = (SIDE // PATCH) ** 2
"""The number of image tokens of a picture."""
MEAN = (0.6, 0.6, 0.6)
SPREAD = (0.25, 0.25, 0.25)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ 'USER: ' if message['role'] == 'user' else 'ASSISTANT: ' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{% endif %}"
    "{{ ' ' if message['role'] == 'user' else eos_token }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
"""Vicuna's turns without its system sentence: "USER: <image>\\n... ASSISTANT:"."""


def build_processor() -> LlavaProcessor:
    """Build the processor: a CLIP image processor that needs only PIL, tokenizer and template."""
    side = {"height": SIDE, "width": SIDE}
    images = CLIPImageProcessorPil(
        size=side, crop_size=side, image_mean=list(MEAN), image_std=list(SPREAD)
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=build_tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
        num_additional_image_tokens=1,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    """Build the untrained model; seed torch before calling."""
    vision = CLIPVisionConfig(
        hidden_size=144,
        intermediate_size=432,
        num_hidden_layers=5,
        num_attention_heads=6,
        image_size=SIDE,
        patch_size=PATCH,
        projection_dim=144,
        hidden_act="gelu_pytorch_tanh",
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=144,
        intermediate_size=384,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=16,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    image_token = tokenizer.convert_tokens_to_ids(IMAGE)
    assert isinstance(image_token, int)
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=image_token,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_seq_length=PATCHES,
        projector_hidden_act="gelu",
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config)
    # Large, so that a patch's position is as plain as its content: questions ask for sides.
    torch.nn.init.normal_(model.model.vision_tower.embeddings.position_embedding.weight, std=0.3)
    return model


def save(model: LlavaForConditionalGeneration, folder: Path) -> None:
    """Save model and processor as a hub folder.

    Weights are kept as float16; the configuration says float32, so that they load as float32 and
    a processor without half precision answers alike.

    Args:
        model: The trained model.
        folder: The output folder; created if missing.
    """
    processor = build_processor()
    tokenizer = processor.tokenizer
    small = copy.deepcopy(model).half()
    small.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=160,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    small.save_pretrained(folder)
    processor.save_pretrained(folder)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"float16"', '"float32"'))
