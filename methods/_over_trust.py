"""Summary tokens that an answer trusts in too much, as OPERA finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import multimode
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

FIRST = 10
"""In the code: the first location gone back to."""


@dataclass
class Recorded:
    """What each of the loop's rows attends to: `over_trust`'s omega, and the image [N]."""

    omega: Tensor | None = None
    image: Tensor | None = None


def over_trust(omega: Tensor, scale: float, window: int) -> tuple[Tensor, Tensor]:
    """Find the column of attention that most rows trust in (OPERA, section 3.2).

    Args:
        omega: Attention of the answer's tokens to each other, [N, T, T]: of the heads the largest,
            each row divided by its sum over all keys, the prompt's included.
        scale: sigma, the factor on each entry.
        window: k, how many of the last rows and columns count.

    Returns:
        phi = max_j prod_{i >= j} sigma omega_ij, float64 [N], and the first such j, int [N].
    """
    columns = (scale * omega.double()).log().tril().sum(1)
    columns[:, : max(0, columns.shape[1] - window)] = -float("inf")
    best = columns.max(1)
    return best.values.clamp(max=700).exp(), best.indices


def summary_in_paper(histories: Sequence[Sequence[int]], r: int, earlier: int) -> int | None:
    """Return the location s to go back to (OPERA, section 3.3): here, if every beam says so.

    Args:
        histories: Columns of the last l tokens of each beam's own ancestry, [B][l].
        r: How often s must be among them.
        earlier: s of the last roll-back; it never decreases.
    """
    modes = {min(multimode(columns)) for columns in histories if columns}
    s = modes.pop() if len(modes) == 1 else -1
    return s if s >= earlier and all(columns.count(s) >= r for columns in histories) else None


def summary_in_code(steps: Sequence[Sequence[int]], r: int) -> int | None:
    """Return the location to go back to, as utils.py:3437-3461 does.

    Args:
        steps: The column of what stood at each beam's number, [t + 1][B]; of one beam at first.
        r: How often it must be more than.
    """
    s = min(multimode(steps[-1]))
    by_beam = ([step[min(beam, len(step) - 1)] for step in steps] for beam in range(len(steps[-1])))
    return s if s >= FIRST and all(columns.count(s) > r for columns in by_beam) else None
