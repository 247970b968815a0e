"""Attention that does not depend on what is seen, in place of a model's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from halluc.interventions.context import seed_of

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At

Kind = Literal["shuffled", "random", "uniform", "reversed"]


def uniform_draws(seed: int, shape: Sequence[int]) -> Tensor:
    """Draw numbers from 0 to 1 on the CPU; the same for the same seed and shape."""
    import torch

    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def counterfactual(kind: Kind, weights: Tensor, visible: Tensor, draws: Tensor) -> Tensor:
    """Put other attention weights in place of a model's; each row of them sums to 1.

    "reversed": in proportion to max A - A, the row's largest weight; "uniform": the same for all
    keys; "random": in proportion to the draws; "shuffled": the row's own weights, which change
    places in the order of the draws (CausalMM: README, cf_encoder.py:49-73).

    Args:
        weights: A [B, H, R, K]; 0 where a row may not attend.
        visible: Where it may, bool [B or 1, 1, R or 1, K].
        draws: [B, H, R or 1, K]; looked at where they are needed.

    Returns:
        [B, H, R, K], 0 where a row may not attend.
    """
    visible = visible.expand_as(weights)
    if kind == "shuffled":
        order = draws.expand_as(weights).masked_fill(~visible, 2).argsort(-1)
        places = (~visible).int().argsort(dim=-1, stable=True)
        return weights.new_zeros(weights.shape).scatter(-1, places, weights.gather(-1, order))
    if kind == "reversed":
        other = weights.amax(-1, keepdim=True) - weights
    else:
        other = draws.expand_as(weights) if kind == "random" else weights.new_ones(weights.shape)
    other = other * visible
    total = other.sum(-1, keepdim=True)
    even = visible / visible.sum(-1, keepdim=True).clamp(min=1)  # where all are the largest
    return (other / total.clamp(min=1e-20)).where(total > 0, even)


def feature_map(kind: Kind, weights: Tensor, draws: Tensor) -> Tensor:
    """Make the factor on each patch's features of what a layer of the tower attends to.

    All T x T weights of a head are edited as one: shuffled, random from 0 to 2, uniform at their
    mean, or reversed, max A - A. The map is shrunk to the patches' grid and averaged over heads
    (CausalMM: cf_encoder.py:49-73, 97-119).

    Args:
        weights: Of all tokens, CLS first [N, H, T, T].
        draws: [N, H, T * T].

    Returns:
        [N, T - 1].
    """
    import torch

    flat = weights.flatten(2)
    if kind == "shuffled":
        edited = flat.gather(-1, draws.argsort(-1))
    elif kind == "random":
        edited = draws * 2
    elif kind == "uniform":
        edited = flat.mean(-1, keepdim=True).expand_as(flat)
    else:
        edited = flat.amax(-1, keepdim=True) - flat
    side = round((weights.shape[-1] - 1) ** 0.5)
    grid = torch.nn.functional.interpolate(
        edited.view(weights.shape), size=(side, side), mode="bilinear", align_corners=False
    )
    return grid.mean(1).flatten(1)


def draws_for(at: At, rows: Tensor, weights: Tensor, kind: Kind, whole: bool) -> Tensor:
    """Draw what some rows need: by image in the vision tower, by sample and token elsewhere.

    Real tokens alone are drawn for, so that padding changes nothing; all layers draw alike.

    Args:
        rows: Their numbers, int [M].
        weights: Their attention weights [M, H, R, K].
        kind: Which counterfactual.
        whole: Draw for all weights of a head as one.

    Returns:
        [M, H, R, K] if they are random, [M, H, 1, K] if shuffled; [M, H, R * K] as one.
    """
    heads, n_rows, n_keys = weights.shape[1:]
    if whole:
        drawn = weights.new_zeros(len(rows), heads, n_rows * n_keys)
    else:
        drawn = weights.new_zeros(len(rows), heads, n_rows if kind == "random" else 1, n_keys)
    if kind not in ("shuffled", "random"):
        return drawn
    tower = at.part == "vision"
    seeds = at.batch.image_seeds if tower else at.batch.seeds
    for place, (row, prompt) in enumerate(
        zip(rows.tolist(), at.prompts[rows].tolist(), strict=True)
    ):
        seed = seed_of(seeds[prompt], str(at.step))
        if whole:
            drawn[place] = uniform_draws(seed, drawn.shape[1:])
            continue
        keys = n_keys if tower else int(at.real[row].sum())
        lines = min(drawn.shape[2], int(at.rows[row].sum()))
        drawn[place, :, -lines:, -keys:] = uniform_draws(seed, (heads, lines, keys)).to(drawn)
    return drawn
