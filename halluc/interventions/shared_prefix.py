"""Prefixes that several prompts share: they are read once, and attended to without a copy."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

Attention = dict[int, list[Tensor]]
"""The CLS token's attention by layer: for each image [n, H], n its image tokens."""


@dataclass
class Memo:
    """Memo of the prefixes read last, for another run that reads the same.

    Points of a sweep ask the same of the same images in turn; all but the first find their
    prefixes here, unless their parameters change how prefixes are read (`Method.prefix_key`).

    Attributes:
        saved: Seconds that all runs together did not spend because of it. A run's cost is what it
            would take alone, so each adds what it saved.
    """

    saved: float = 0.0
    _kept: tuple[Any, dict[str, Any], KeptPrefix, float] | None = None
    _made: tuple[Any, Any, float] | None = None

    def once(self, what: Any, make: Callable[[], Any]) -> Any:
        """Return what was made last if it was made of `what`; else make it."""
        if self._made is None or self._made[0] != what:
            started = time.perf_counter()
            made = make()
            self._made = what, made, time.perf_counter() - started
        else:
            self.saved += self._made[2]
        return self._made[1]

    def prefix(
        self, key: Any, inputs: dict[str, Any], read: Callable[[], KeptPrefix]
    ) -> KeptPrefix:
        """Return the prefixes kept for this key and these inputs; else read and keep them."""
        if self._kept is not None:
            earlier_key, earlier, kept, seconds = self._kept
            alike = earlier_key == key and earlier.keys() == inputs.keys()
            if alike and all(_equal(value, earlier[name]) for name, value in inputs.items()):
                self.saved += seconds
                return KeptPrefix(kept.prefix, dict(kept.attention))
        started = _now()
        found = read()
        self._kept = key, inputs, found, _now() - started
        return KeptPrefix(found.prefix, dict(found.attention))


class KeptPrefix(NamedTuple):
    """Prefixes that a memo kept.

    Attributes:
        prefix: Their keys and values.
        attention: The vision tower's attention from its CLS token to their images.
    """

    prefix: Prefix
    attention: Attention


def _now() -> float:
    """Return the time, after what was started on a GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _equal(value: Any, other: Any) -> bool:
    return value is other or (
        isinstance(value, Tensor) and isinstance(other, Tensor) and torch.equal(value, other)
    )


@dataclass(frozen=True)
class Prefix:
    """Keys and values of U prefixes, for a batch of B prompts that go on from them.

    A method's explicit attention needs no more than `products` and `times_values`: the rows of one
    prefix meet its keys in one matrix product, so that nothing of size B x P x d is ever made.

    Attributes:
        keys, values: By layer, [U, Hk, P, d] each.
        owner: The prefix each prompt goes on from, int [B].
        remembered: By layer, what the method remembers of the prefixes' tokens, [U, P, ...].
    """

    keys: Sequence[Tensor]
    values: Sequence[Tensor]
    owner: Tensor
    remembered: dict[int, Any] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """P, the prefixes' length; shorter ones are padded in front."""
        return int(self.keys[0].shape[2])

    @property
    def count(self) -> int:
        """U, the number of prefixes."""
        return int(self.keys[0].shape[0])

    def repeated(self, repeats: int) -> Prefix:
        """Repeat prompts: each stands `repeats` times in a row, as beams do."""
        if repeats == 1:
            return self
        owner = self.owner.repeat_interleave(repeats)
        return Prefix(self.keys, self.values, owner, self.remembered)

    def joined(self, layer: int, rest: Any) -> Any:
        """Join facts about the prefix's tokens and the rest [B, S, ...] to [B, P + S, ...]."""
        return self._joined(self.remembered.get(layer), rest)

    def _joined(self, earlier: Any, rest: Any) -> Any:
        if isinstance(rest, tuple):
            pairs = zip(earlier, rest, strict=True)
            return tuple(self._joined(*of_part) for of_part in pairs)
        return None if rest is None else torch.cat([earlier[self.owner], rest], dim=1)

    def products(self, layer: int, query: Tensor) -> Tensor:
        """Multiply a layer's queries [B, H, R, d] and their prefix's keys, [B, H, R, P]."""
        return self._product(query, self.keys[layer].transpose(2, 3))

    def times_values(self, layer: int, weights: Tensor) -> Tensor:
        """Multiply weights [B, H, R, P] and the prefix's values, [B, H, R, d]."""
        return self._product(weights, self.values[layer])

    def _product(self, rows: Tensor, right: Tensor) -> Tensor:
        """Multiply [B, H, R, x] and [U, Hk, x, y], each row with its prefix's: [B, H, R, y].

        In plain words: out[b] = rows[b] @ right[owner[b]]. That would copy `right` for each row;
        instead the rows of one prefix stand below each other and share one product.
        """
        members, position = self._groups
        heads, count = rows.shape[1], rows.shape[2]
        if position is not None:
            rows = rows[members.flatten()]
        grouped = rows.unflatten(0, members.shape).unflatten(2, (right.shape[1], -1))
        left = grouped.transpose(1, 2)  # [U, Hk, G, H / Hk, R, x]
        product = (left.flatten(2, 4) @ right).unflatten(2, left.shape[2:5])
        apart: Tensor = product.transpose(1, 2).reshape(
            members.numel(), heads, count, right.shape[-1]
        )
        return apart if position is None else apart[position]

    @cached_property
    def _groups(self) -> tuple[Tensor, Tensor | None]:
        """Rows of each prefix [U, G], short groups repeating one; each row's position in them [B].

        The positions are None where the groups are all rows in their order.
        """
        groups = [(self.owner == u).nonzero()[:, 0] for u in range(self.count)]
        longest = max(len(group) for group in groups)
        members = torch.stack([torch.cat([g, g[:1].expand(longest - len(g))]) for g in groups])
        flat = members.flatten()
        if torch.equal(flat, torch.arange(len(self.owner), device=flat.device)):
            return members, None
        position = torch.empty_like(self.owner)
        # Of repeated rows the first one counts: it is written last.
        position[flat.flip(0)] = torch.arange(len(flat), device=flat.device).flip(0)
        return members, position
