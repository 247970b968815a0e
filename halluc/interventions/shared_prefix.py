"""Prefixes that several prompts share: read once, attended to without being copied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

Attention = dict[int, list[Tensor]]
"""The CLS token's attention by layer: for each image [n, H], n its image tokens."""


@dataclass
class Memo:
    """The prefixes read last, for another run that reads the same.

    Points of a sweep ask the same of the same images in turn; all but the first find their
    prefixes here, unless their parameters change how these are read (`Method.prefix_key`).
    """

    _kept: tuple[Any, dict[str, Any], Prefix, Attention] | None = None
    _made: tuple[Any, Any] | None = None

    def once(self, what: Any, make: Callable[[], Any]) -> Any:
        """What was made last, unless it was of something else."""
        if self._made is None or self._made[0] != what:
            self._made = what, make()
        return self._made[1]

    def find(self, key: Any, inputs: dict[str, Any]) -> tuple[Prefix, Attention] | None:
        """What was read if it was read alike: the prefixes and the vision tower's attention."""
        if self._kept is None:
            return None
        how, earlier, prefix, seen = self._kept
        alike = how == key and earlier.keys() == inputs.keys()
        if alike and all(_equal(value, earlier[name]) for name, value in inputs.items()):
            return prefix, dict(seen)
        return None

    def keep(self, key: Any, inputs: dict[str, Any], prefix: Prefix, seen: Attention) -> None:
        """Keep what was read, in place of what was kept before."""
        self._kept = key, inputs, prefix, dict(seen)


def _equal(one: Any, other: Any) -> bool:
    return one is other or (
        isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other)
    )


@dataclass(frozen=True)
class Prefix:
    """Keys and values of U prefixes, for a batch of B prompts that go on from them.

    A method's explicit attention needs no more than `products` and `times_values`: the rows of one
    prefix meet its keys in one matrix product, so that nothing of size B x P x d is ever made.

    Attributes:
        keys, values: By layer, [U, Hk, P, d] each.
        owner: Which prefix each prompt goes on from, int [B].
        remembered: By layer, what the method remembers of the prefixes' tokens, [U, P, ...].
    """

    keys: Sequence[Tensor]
    values: Sequence[Tensor]
    owner: Tensor
    remembered: dict[int, Any] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """P, padding in front of the shorter ones included."""
        return int(self.keys[0].shape[2])

    @property
    def count(self) -> int:
        """U."""
        return int(self.keys[0].shape[0])

    def repeated(self, repeats: int) -> Prefix:
        """For a batch in which each prompt stands `repeats` times in a row, as beams do."""
        if repeats == 1:
            return self
        owner = self.owner.repeat_interleave(repeats)
        return Prefix(self.keys, self.values, owner, self.remembered)

    def joined(self, layer: int, rest: Any) -> Any:
        """Facts about all tokens of each prompt, from those about the rest of it [B, S, ...]."""
        return self._joined(self.remembered.get(layer), rest)

    def _joined(self, earlier: Any, rest: Any) -> Any:
        if isinstance(rest, tuple):
            pairs = zip(earlier, rest, strict=True)
            return tuple(self._joined(one, other) for one, other in pairs)
        return None if rest is None else torch.cat([earlier[self.owner], rest], dim=1)

    def products(self, layer: int, query: Tensor) -> Tensor:
        """q.k of a layer's queries [B, H, R, d] with their prefix's keys, [B, H, R, P]."""
        return self._product(query, self.keys[layer].transpose(2, 3))

    def times_values(self, layer: int, weights: Tensor) -> Tensor:
        """Weights [B, H, R, P] times the prefix's values, [B, H, R, d]."""
        return self._product(weights, self.values[layer])

    def _product(self, rows: Tensor, right: Tensor) -> Tensor:
        """[B, H, R, x] times [U, Hk, x, y], each row with its prefix: [B, H, R, y]."""
        members, place = self._groups
        heads, count = rows.shape[1], rows.shape[2]
        if place is not None:
            rows = rows[members.flatten()]
        grouped = rows.unflatten(0, members.shape).unflatten(2, (right.shape[1], -1))
        left = grouped.transpose(1, 2)  # [U, Hk, G, H / Hk, R, x]
        product = (left.flatten(2, 4) @ right).unflatten(2, left.shape[2:5])
        apart: Tensor = product.transpose(1, 2).reshape(
            members.numel(), heads, count, right.shape[-1]
        )
        return apart if place is None else apart[place]

    @cached_property
    def _groups(self) -> tuple[Tensor, Tensor | None]:
        """Rows of each prefix [U, G], short groups repeating one; where each row is in them.

        The second is None where the first is all rows in their order.
        """
        groups = [(self.owner == u).nonzero()[:, 0] for u in range(self.count)]
        longest = max(len(group) for group in groups)
        members = torch.stack(
            [torch.cat([g, g[:1].expand(longest - len(g))]) for g in groups]
        )  # fmt: skip
        flat = members.flatten()
        if torch.equal(flat, torch.arange(len(self.owner), device=flat.device)):
            return members, None
        place = torch.empty_like(self.owner)
        place[flat.flip(0)] = torch.arange(len(flat), device=flat.device).flip(0)
        return members, place
