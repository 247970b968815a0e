"""Idefics3, the classes of SmolVLM: image tokens are shuffled from four patches each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from halluc.world.backgrounds import SIDE
from halluc.world.training.architectures.base import (
    IMAGE_TOKENS,
    Architecture,
    chat_template,
    image_arguments,
    text_shape,
)
from halluc.world.training.tokenizer import IMAGE

PATCH = 8
"""Side of a patch in pixels; two by two of them are an image token."""


class Idefics3(Architecture):
    """An Idefics3 of 3.1 million parameters, with a narrow vision tower."""

    specials = ("<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
    before = ("<s>", "USER:", "<fake_token_around_image>", "<global-img>")
    after = ("<fake_token_around_image>",)
    turn = "{question}<end_of_utterance> ASSISTANT:"

    def build(self) -> Any:
        """Build the untrained model; seed torch before calling."""
        vision = {
            "hidden_size": 96,
            "intermediate_size": 288,
            "num_hidden_layers": 5,
            "num_attention_heads": 4,
            "image_size": SIDE,
            "patch_size": PATCH,
        }
        text = text_shape(self.tokenizer)
        text |= {"model_type": "llama", "head_dim": 48, "attention_bias": True}
        config = Idefics3Config(
            vision_config=vision,
            text_config=text,
            scale_factor=2,
            image_token_id=self.id(IMAGE),
            tie_word_embeddings=True,
        )
        model = Idefics3ForConditionalGeneration(config)
        place = model.model.vision_model.embeddings.position_embedding
        torch.nn.init.normal_(place.weight, std=0.3)
        return model

    def processor(self) -> Any:
        """Build the processor: one view of each picture, no tiles."""
        images = Idefics3ImageProcessorPil(
            size={"longest_edge": SIDE},
            max_image_size={"longest_edge": SIDE},
            do_image_splitting=False,
            **image_arguments(),
        )
        return Idefics3Processor(
            image_processor=images,
            tokenizer=self.tokenizer,
            image_seq_len=IMAGE_TOKENS,
            chat_template=chat_template("<image>", ends_question="<end_of_utterance> "),
        )

    def see(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return image tokens, and the mean of the patches."""
        patches = self.model.model.vision_model(pixels).last_hidden_state
        return self.model.model.connector(patches), patches.mean(1)

    @property
    def decoder(self) -> Any:
        """The Llama."""
        return self.model.model.text_model

    @property
    def projector(self) -> None:
        """None: one matrix makes an image token."""

    @property
    def vision_width(self) -> int:
        """The tower's width."""
        return int(self.model.config.vision_config.hidden_size)
