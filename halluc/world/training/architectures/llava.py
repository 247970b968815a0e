"""LLaVA: CLIP's vision tower, a two-layer projector, a Llama with biases."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from halluc.world.backgrounds import SIDE
from halluc.world.training.architectures.base import (
    IMAGE_TOKENS,
    Architecture,
    chat_template,
    image_arguments,
    square,
    text_shape,
)
from halluc.world.training.tokenizer import IMAGE

PATCH = 16
"""Side of a patch in pixels."""


class Llava(Architecture):
    """A LLaVA of 3.7 million parameters. Biases in attention are the one departure from LLaMA-2."""

    before = ("<s>", "USER:")

    def build(self) -> Any:
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
        config = LlavaConfig(
            vision_config=vision,
            text_config=LlamaConfig(**text_shape(self.tokenizer), head_dim=48, attention_bias=True),
            image_token_index=self.id(IMAGE),
            vision_feature_layer=-2,
            vision_feature_select_strategy="default",
            image_seq_length=IMAGE_TOKENS,
            projector_hidden_act="gelu",
            tie_word_embeddings=True,
        )
        model = LlavaForConditionalGeneration(config)
        # Large, so that a patch's position is as plain as its content: questions ask for sides.
        place = model.model.vision_tower.embeddings.position_embedding
        torch.nn.init.normal_(place.weight, std=0.3)
        return model

    def processor(self) -> Any:
        """Build the processor: a CLIP image processor that needs only PIL."""
        images = CLIPImageProcessorPil(size=square(), crop_size=square(), **image_arguments())
        return LlavaProcessor(
            image_processor=images,
            tokenizer=self.tokenizer,
            patch_size=PATCH,
            vision_feature_select_strategy="default",
            chat_template=chat_template("<image>\n"),
            num_additional_image_tokens=1,
        )

    def see(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return image tokens, and the pooled CLS token."""
        tower = self.model.model.vision_tower(pixels, output_hidden_states=True)
        patches = tower.hidden_states[self.model.config.vision_feature_layer][:, 1:]
        return self.model.model.multi_modal_projector(patches), tower.pooler_output

    @property
    def decoder(self) -> Any:
        """The Llama."""
        return self.model.model.language_model

    @property
    def projector(self) -> tuple[nn.Linear, nn.Linear]:
        """The projector's two matrices."""
        projector = self.model.model.multi_modal_projector
        return projector.linear_1, projector.linear_2

    @property
    def vision_width(self) -> int:
        """The tower's width."""
        return int(self.model.config.vision_config.hidden_size)
