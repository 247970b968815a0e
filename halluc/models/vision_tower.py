"""The vision half of a model: its tower, and how patches become image tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, nn

_ATTENTION = ("self_attn", "attn", "attention")
_FEED_FORWARD = ("mlp", "feed_forward", "ffn")


@dataclass(frozen=True, eq=False)
class Tower:
    """The vision tower of a loaded model.

    Attributes:
        model: A transformers `...ForConditionalGeneration`.
    """

    model: Any

    @cached_property
    def layers(self) -> list[nn.Module]:
        """Each layer, in order: the longest list of modules that have an attention."""
        encoder: nn.Module = self.model.get_encoder(modality="image")
        lists = (module for module in encoder.modules() if isinstance(module, nn.ModuleList))
        stacks = [list(modules) for modules in lists if _attention_in(next(iter(modules), None))]
        return max(stacks, key=len)

    @cached_property
    def attention_modules(self) -> list[nn.Module]:
        """Each layer's self-attention, in order."""
        return [attention for layer in self.layers if (attention := _attention_in(layer))]

    @cached_property
    def feed_forwards(self) -> dict[int, nn.Module]:
        """The feed-forward network of each layer that has one in a module of its own."""
        names = ((i, name) for i in range(len(self.layers)) for name in _FEED_FORWARD)
        named = ((i, getattr(self.layers[i], name, None)) for i, name in names)
        return {i: module for i, module in named if isinstance(module, nn.Module)}

    @property
    def features(self) -> int:
        """Index of the layer whose output the language model reads, 0-based.

        `vision_feature_layer` counts hidden states, of which the first is the embedding.
        """
        layer: int = self.model.config.vision_feature_layer
        return layer + len(self.layers) if layer < 0 else layer - 1

    @property
    def packs(self) -> bool:
        """True if patches of an image's tiles are laid out on one grid, with new lines."""
        return hasattr(self.model.base_model, "pack_image_features")

    @property
    def projector(self) -> nn.Module:
        """The module that turns patches into image tokens."""
        projector: nn.Module = self.model.base_model.multi_modal_projector
        return projector

    def spread(self, patches: Tensor, kept: Tensor | None) -> Tensor:
        """Put patches that were kept back in their places, not-a-number into the gaps.

        Args:
            patches: [N, P', C].
            kept: The places they have among the P, int [N, P']; None if none was dropped.

        Returns:
            [N, P, C].
        """
        if kept is None:
            return patches
        vision = self.model.config.vision_config
        total = (vision.image_size // vision.patch_size) ** 2
        whole = patches.new_full((len(patches), total, patches.shape[2]), float("nan"))
        return whole.scatter(1, kept[:, :, None].expand_as(patches), patches)

    def lay_out(
        self, patches: Tensor, kept: Tensor | None, images: Mapping[str, Tensor]
    ) -> list[Tensor]:
        """Lay numbers of patches out as the model lays out its features.

        Args:
            patches: Of each tile, in the order the tower sees them [N, P', C].
            kept: As for `spread`.
            images: The inputs that belong to the images.

        Returns:
            One [n, C] an image, n its image tokens; 0 at tokens that end a line.
        """
        if not self.packs:
            return list(patches)
        from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

        config = self.model.config
        tiles = [
            image_size_to_num_patches(
                size, config.image_grid_pinpoints, config.vision_config.image_size
            )
            for size in images["image_sizes"]
        ]
        packed, _ = self.model.base_model.pack_image_features(
            self.spread(patches, kept).split(tiles),
            images["image_sizes"],
            vision_feature_select_strategy="full",
            image_newline=patches.new_zeros(patches.shape[2]),
        )
        return [without_gaps(tokens) for tokens in packed]


def without_gaps(tokens: Tensor) -> Tensor:
    """Drop the gaps among tokens [n, C]: those of dropped patches, which are not-a-number."""
    return tokens[~tokens.isnan().any(-1)]


def _attention_in(layer: nn.Module | None) -> nn.Module | None:
    """Find a layer's self-attention, by any of the names it has in transformers."""
    named = (getattr(layer, name, None) for name in _ATTENTION)
    return next((module for module in named if isinstance(module, nn.Module)), None)
