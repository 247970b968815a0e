"""HALC's maths: fields of view around a thing, how far apart they lead, their contrasts."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

Variant = Literal["paper", "official_code"]
_MOST_SHRUNK = 0.8


class Field(NamedTuple):
    """A part of an image: its borders in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def scaled(self, factor: float, size: tuple[int, int]) -> Field:
        """Scale the sides around the middle; the image's borders cut it off.

        Args:
            size: The image's width and height.
        """
        wide = (self.right - self.left) * (factor - 1) / 2
        high = (self.bottom - self.top) * (factor - 1) / 2
        left, top = max(0.0, self.left - wide), max(0.0, self.top - high)
        right, bottom = min(size[0], self.right + wide), min(size[1], self.bottom + high)
        return Field(left, top, right, bottom)

    def pixels(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Round to whole pixels, at least one wide and high, inside the image."""
        left, top = min(round(self.left), size[0] - 1), min(round(self.top), size[1] - 1)
        return left, top, max(round(self.right), left + 1), max(round(self.bottom), top + 1)


def fields_of_view(
    found: Field, count: int, ratio: float, size: tuple[int, int], variant: Variant
) -> list[Field]:
    """Grow fields of view around what a detector found, the smallest first.

    v_i = ((1 + lambda)^i w, (1 + lambda)^i h) around the middle (paper, section 4.2), here with i
    from -1. In the code the first is (1 - lambda) as large, at least a fifth, and each after the
    second grows from what the borders left of the one before (halc.py:378-397).

    Args:
        found: Where the thing is.
        count: Number of fields, two or more.
        ratio: lambda.
        size: The image's width and height.
    """
    if variant == "paper":
        return [found.scaled((1 + ratio) ** i, size) for i in range(-1, count - 1)]
    fields = [found.scaled(1 - min(ratio, _MOST_SHRUNK), size), found]
    while len(fields) < count:
        fields.append(fields[-1].scaled(1 + ratio, size))
    return fields


def divergences(logits: Tensor, variant: Variant) -> Tensor:
    """Measure how far apart the next-token distributions of each two fields lie.

    JSD(p, q) = KL(p || m) / 2 + KL(q || m) / 2 with m = (p + q) / 2 (paper, section 4.2). The code
    takes KL(m || p) and KL(m || q): its arguments of kl_div are the wrong way round
    (halc.py:1063-1076).

    Args:
        logits: Next-token logits of each field [N, V].

    Returns:
        [N, N], fp32.
    """
    log_p = logits.float().log_softmax(-1)
    one, other = log_p[:, None], log_p[None]
    middle = one.logaddexp(other) - log(2)
    if variant == "paper":
        apart = one.exp() * (one - middle) + other.exp() * (other - middle)
    else:
        apart = middle.exp() * (2 * middle - one - other)
    return apart.sum(-1) / 2


def contrasts(logits: Tensor, count: int, weight: float, variant: Variant) -> Tensor:
    """Contrast the two fields of the pairs that lie farthest apart, each with the other.

    (1 + alpha) l_i - alpha l_j and the same with i and j exchanged (paper, section 4.2); in the
    code l_j - alpha l_i and l_i - alpha l_j (halc.py:1090-1109).

    Args:
        logits: Next-token logits of each field, the smallest first [N, V].
        count: Number of contrasts, two for each pair; fewer where there are fewer pairs.
        weight: alpha.

    Returns:
        [contrasts, V], the farthest pair first.
    """
    size = len(logits)
    above = logits.new_ones(size, size).triu(1).bool()
    rows, columns = above.nonzero(as_tuple=True)
    apart = divergences(logits, variant)[rows, columns]
    far = apart.topk(min(count // 2, len(apart))).indices
    first, second = logits[rows[far]], logits[columns[far]]
    if variant == "paper":
        pairs = [(1 + weight) * first - weight * second, (1 + weight) * second - weight * first]
    else:
        pairs = [second - weight * first, first - weight * second]
    joined: Tensor = pairs[0].new_empty(2 * len(far), logits.shape[1])
    joined[0::2], joined[1::2] = pairs
    return joined
