"""Qwen2-VL: M-RoPE, no BOS, the image first, each image token merged from four patches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from halluc.models.processors import without_videos
from halluc.world.backgrounds import SIDE
from halluc.world.training.architectures.base import (
    COLUMNS,
    IMAGE_TOKENS,
    Architecture,
    chat_template,
    image_arguments,
    text_shape,
)

PATCH = 8
"""Side of a patch in pixels; two by two of them are an image token."""
MERGE = 2
FRAMES = 2
"""A picture counts as two equal frames."""


class Qwen2VL(Architecture):
    """A Qwen2-VL of 3.6 million parameters."""

    specials = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    starts_with_bos = False
    before = ("<|vision_start|>",)
    after = ("<|vision_end|>",)
    turn = "USER: {question} ASSISTANT:"

    def build(self) -> Any:
        """Build the untrained model; seed torch before calling."""
        marks = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
        tokens = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
        text = text_shape(self.tokenizer) | {
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [8, 8, 8],
            }
        }
        vision = {
            "depth": 5,
            "embed_dim": 120,
            "hidden_size": text["hidden_size"],
            "mlp_ratio": 3,
            "num_heads": 5,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": FRAMES,
        }
        config = Qwen2VLConfig(
            text_config=text,
            vision_config=vision,
            tie_word_embeddings=True,
            **dict(zip(marks, self.ids(tokens).tolist(), strict=True)),
        )
        return Qwen2VLForConditionalGeneration(config)

    def processor(self) -> Any:
        """Build the processor; its image processor needs only PIL."""
        images = Qwen2VLImageProcessorPil(
            patch_size=PATCH,
            merge_size=MERGE,
            temporal_patch_size=FRAMES,
            min_pixels=SIDE * SIDE,
            max_pixels=SIDE * SIDE,
            **image_arguments(),
        )
        return without_videos(Qwen2VLProcessor)(
            image_processor=images,
            tokenizer=self.tokenizer,
            chat_template=chat_template("<|vision_start|><|image_pad|><|vision_end|>", first=True),
        )

    def see(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return image tokens, and the mean of the patches."""
        size, across = len(pixels), SIDE // PATCH
        grid = torch.tensor([[1, across, across]] * size, device=pixels.device)
        seen = self.model.model.visual(flattened(pixels), grid_thw=grid)
        patches = seen.last_hidden_state.view(size, across**2, -1)
        return seen.pooler_output.view(size, IMAGE_TOKENS, -1), patches.mean(1)

    @property
    def decoder(self) -> Any:
        """The language model."""
        return self.model.model.language_model

    @property
    def projector(self) -> tuple[nn.Linear, nn.Linear]:
        """The merger's two matrices."""
        mlp = self.model.model.visual.merger.mlp
        return mlp[0], mlp[2]

    @property
    def vision_width(self) -> int:
        """The tower's width."""
        return int(self.model.config.vision_config.embed_dim)

    def positions(self, later: Tensor) -> Tensor:
        """Return positions in time, height and width: those of text are all the same."""
        number = torch.arange(IMAGE_TOKENS)
        rows, columns = number // COLUMNS, number % COLUMNS
        start = len(self.before)
        image = start + torch.stack([torch.zeros_like(rows), rows, columns])
        opening = torch.arange(start).expand(3, -1)
        end = start + COLUMNS
        closing = (end + torch.arange(len(self.after))).expand(3, -1)
        first = torch.cat([opening, image, closing], 1).to(later.device)
        first = first[:, None].expand(3, len(later), -1)
        return torch.cat([first, (end + len(self.after) + later).expand(3, -1, -1)], 2)


def flattened(pixels: Tensor) -> Tensor:
    """Cut pictures into patches, in the order and form that the image processor gives them.

    Args:
        pixels: float [B, 3, H, W], normalised.

    Returns:
        float [B * patches, 3 * FRAMES * PATCH * PATCH].
    """
    size, channels, height, width = pixels.shape
    down, across = height // PATCH // MERGE, width // PATCH // MERGE
    cut = pixels.view(size, channels, down, MERGE, PATCH, across, MERGE, PATCH)
    cut = cut.permute(0, 2, 5, 3, 6, 1, 4, 7)  # place, place in its token, channel, pixels
    frames = cut.unsqueeze(6).expand(*cut.shape[:6], FRAMES, PATCH, PATCH)
    return frames.reshape(-1, channels * FRAMES * PATCH * PATCH)
