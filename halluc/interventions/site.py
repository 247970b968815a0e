"""Where in a model, and in which forward pass, a seam is called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Prompted:
    """A batch of prompts as the language model reads it, and what a method remembers of it.

    Attributes:
        input_ids: Token ids, left-padded [B, L].
        attention_mask: True at real tokens [B, L].
        image_mask: True at image tokens [B, L].
        vision_attention: The vision tower's attention from its CLS token, filled in while images
            are encoded: layer index (negative from the end) to [images, H, patches].
        state: The method's own memory, made by `Method.begin`; gone with the batch.
    """

    input_ids: Tensor
    attention_mask: Tensor
    image_mask: Tensor
    vision_attention: dict[int, Tensor] = field(default_factory=dict)
    state: Any = None

    @property
    def size(self) -> int:
        """Number of prompts."""
        return int(self.input_ids.shape[0])


@dataclass(frozen=True)
class Site:
    """One attention layer in one forward pass, as a seam sees it.

    R below is the number of query rows handed to the seam: those from the first one any sample
    edits to the last. B counts beams.

    Attributes:
        layer: 0-based index among the language model's layers.
        n_layers: How many there are.
        prefill: True while the prompt is read, False for every generated token.
        image_columns: Keys of THIS layer that are image tokens, bool [B, K].
        real: Keys of this layer that are not padding, bool [B, K].
        rows: Query rows the method edits, bool [B, R]; rows that are False come back unchanged.
        prompted: The batch, with the method's state.
    """

    layer: int
    n_layers: int
    prefill: bool
    image_columns: Tensor
    real: Tensor
    rows: Tensor
    prompted: Prompted

    @property
    def state(self) -> Any:
        """The method's own memory of this batch."""
        return self.prompted.state
