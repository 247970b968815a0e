"""Directions in which hidden states move, from shifts of several demonstrations."""

from __future__ import annotations

import torch
from torch import Tensor


def singular(shifts: Tensor, count: int) -> Tensor:
    """Find the first right singular vectors [..., count, D] of shifts [..., N, D], not centred.

    They are found by way of the products [..., N, N], since N is small; where shifts have fewer
    directions than asked for, the rest are zeros. Their signs are arbitrary.
    """
    wide = shifts.double()
    values, vectors = torch.linalg.eigh(wide @ wide.mT)
    values, vectors = values.flip(-1)[..., :count], vectors.flip(-1)[..., :count]
    found = vectors.mT @ wide  # as long as the singular values
    real = values > 1e-10 * values[..., :1].clamp(min=1e-30)
    scale = found.norm(dim=-1).clamp(min=1e-30)
    units: Tensor = found * (real / scale)[..., None]
    return units.to(shifts)


def principal(shifts: Tensor) -> Tensor:
    """Find the first direction [..., D] of shifts [..., N, D] as they are, on their mean's side."""
    found = singular(shifts, 1)[..., 0, :]
    return found.where((found * shifts.mean(-2)).sum(-1, keepdim=True) >= 0, -found)


def component_and_mean(shifts: Tensor) -> Tensor:
    """Add the mean of shifts [..., N, D] and their first unit component about it.

    The shift farthest along the component lies on its positive side.
    """
    mean = shifts.mean(-2, keepdim=True)
    component = singular(shifts - mean, 1)[..., 0, :]
    along = (shifts - mean) @ component[..., None]  # [..., N, 1]
    farthest = along.gather(-2, along.abs().argmax(-2, keepdim=True))[..., 0]
    return mean[..., 0, :] + component * farthest.sign()


def by_runs(shifts: Tensor) -> Tensor:
    """Apply `component_and_mean` to runs of Lv neighbours in each shift's flat (layer, token) list.

    This is what VTI's published code does to the vision tower: it reshapes where it would have to
    transpose (vti_utils/utils.py:318), so a run is no token. Of one token, all layers are one run.

    Args:
        shifts: [N, Lv, T, D].

    Returns:
        [Lv, T, D].
    """
    count, depth, length, width = shifts.shape
    runs = shifts.reshape(count, length, depth * width).transpose(0, 1)
    return component_and_mean(runs).reshape(depth, length, width)
