"""The tokens of a batch of prompts: which are real, which stand for the image, where keys lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def on_keys(values: Tensor, n_keys: int, n_tokens: int) -> Tensor:
    """Lay values of a prompt's tokens over the keys of a layer.

    Args:
        values: [..., L]; keys of tokens behind the prompt get 0 or False.
        n_keys: K, keys the layer sees; the last ones, if fewer than tokens (a sliding window).
        n_tokens: Tokens read so far, at least L and K.

    Returns:
        [..., K].
    """
    grown = values.new_zeros(*values.shape[:-1], n_tokens)
    grown[..., : values.shape[-1]] = values
    return grown[..., n_tokens - n_keys :]


def first_token(real: Tensor) -> Tensor:
    """Mark the first token of each row that is not padding, bool [B, L], given those that are."""
    first: Tensor = real & (real.cumsum(1) == 1)
    return first


@dataclass(frozen=True)
class PromptTokens:
    """A batch of prompts as the language model reads it.

    Attributes:
        input_ids: Token ids, left-padded [B, L].
        attention_mask: True at real tokens [B, L].
        image_mask: True at image tokens [B, L].
        images: The inputs that belong to images, in the order of their rows.
    """

    input_ids: Tensor
    attention_mask: Tensor
    image_mask: Tensor
    images: Mapping[str, Tensor] = field(default_factory=dict)

    @cached_property
    def after_image(self) -> Tensor:
        """True at real tokens behind the last image token, and at all real ones without image."""
        behind: Tensor = self.image_mask.flip(1).cumsum(1).flip(1) == 0
        return behind & self.attention_mask.bool()

    @cached_property
    def first_after_image(self) -> int:
        """The first position that is behind the image for some prompt."""
        return int(self.after_image.int().argmax(1).min())

    @property
    def size(self) -> int:
        """Number of rows: prompts times streams."""
        return int(self.input_ids.shape[0])
