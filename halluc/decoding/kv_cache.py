"""Caches that grow in place; transformers' own copies everything it holds for each new token."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from transformers import DynamicCache, DynamicLayer

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.models import VisionLanguageModel


class FollowedCache(DynamicCache):
    """A cache that tells when beams change places.

    Attributes:
        on_reorder: Called with the row each row goes on from, int [B].
    """

    on_reorder: Callable[[Tensor], None] | None = None

    def reorder_cache(self, beam_idx: Any) -> None:
        """Let beams change places."""
        super().reorder_cache(beam_idx)
        if self.on_reorder is not None:
            self.on_reorder(beam_idx)


class Growing(DynamicLayer):
    """A layer's keys and values, the first part of buffers with room for what will follow.

    Args:
        room: How many tokens more than it must hold a new buffer is made for.
    """

    def __init__(self, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.room = room
        self._buffers: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append new keys and values; return all of them, [B, Hk, K, d] each."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        held = 0 if self.keys is None or self.keys.numel() == 0 else int(self.keys.shape[-2])
        end = held + key_states.shape[-2]
        if self._buffers is None or not self._holds(end):
            self._buffers = (
                self._buffer(self.keys, key_states, held),
                self._buffer(self.values, value_states, held),
            )
        keys, values = self._buffers
        keys[:, :, held:end] = key_states
        values[:, :, held:end] = value_states
        self.keys, self.values = keys[:, :, :end], values[:, :, :end]
        return self.keys, self.values

    def _holds(self, end: int) -> bool:
        """Return whether the keys are still part of the buffers, and these have room for `end`."""
        assert self._buffers is not None
        buffer = self._buffers[0]
        if self.keys is None or self.keys.data_ptr() != buffer.data_ptr():
            return False  # beams changed places, or another took its first tokens
        return len(self.keys) == len(buffer) and end <= buffer.shape[-2]

    def _buffer(self, earlier: Tensor | None, new: Tensor, held: int) -> Tensor:
        batch, heads, added, width = new.shape
        buffer = new.new_empty(batch, heads, held + added + self.room, width)
        if held:
            assert earlier is not None
            buffer[:, :, :held] = earlier
        return buffer


class BehindPrefix(Growing):
    """The cache of one layer behind a prefix, which it counts and does not hold."""

    def __init__(self, length: int, room: int) -> None:
        super().__init__(room)
        self.before = length

    def get_seq_length(self) -> int:
        """Count the keys of the prefix and of what followed."""
        return self.before + int(super().get_seq_length())

    def reorder_cache(self, beam_idx: Any) -> None:
        """Let beams change places; those of one prompt have the same prefix."""
        if self.is_initialized:
            super().reorder_cache(beam_idx)


def growing_cache(model: VisionLanguageModel, room: int) -> FollowedCache:
    """Make the cache `generate` would make, but with plain layers that grow in place.

    Args:
        room: Tokens that will be generated.
    """
    cache = FollowedCache(config=model.model.config.get_text_config(decoder=True))
    layers: list[Any] = cache.layers
    cache.layers = [Growing(room) if type(layer) is DynamicLayer else layer for layer in layers]
    return cache


def cache_behind(length: int, n_layers: int, room: int) -> FollowedCache:
    """Make a cache that goes on behind a prefix of `length` tokens.

    Args:
        room: Tokens that will be generated.
    """
    cache = FollowedCache()
    layers: Any = [BehindPrefix(length, room) for _ in range(n_layers)]
    cache.layers = layers
    return cache
