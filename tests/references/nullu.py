"""Nullu (CVPR 2025, arXiv 2412.13817): MLPs that cannot write into the "HalluSpace".

Facts and sources: notes/nullu.md. The variants differ in the last layer's features only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from tests.references import plain_loop, states
from tests.references.plain_loop import Inputs

Variant = Literal["paper", "official_code"]


def nullu(
    model: Any,
    inputs: Inputs,
    *,
    n_tokens: int = 12,
    truthful: Tensor,
    hallucinated: Tensor,
    rank: int = 4,
    layers: Sequence[int] | None = None,
    centering: bool = False,
) -> tuple[list[int], Tensor]:
    """Decode greedily with projected weights; tokens and logits [T, V].

    Args:
        truthful: features [N, L, D] of `features`; `hallucinated` the paired ones.
        rank: how many singular directions are taken out.
        layers: decoder layers from 0; the upper half of them by default (16 to 31 of 32).
        centering: the code's option, off by default.
    """
    depth = len(plain_loop.layers(model))
    chosen = range(depth // 2, depth) if layers is None else layers
    spaces = hallu_spaces(truthful, hallucinated, rank=rank, centering=centering)
    with (
        plain_loop.eager(model),
        torch.no_grad(),
        replaced(model, projected_weights(model, {layer: spaces[layer] for layer in chosen})),
    ):
        return plain_loop.greedy(
            model, lambda tokens: plain_loop.next_logits(model, inputs, tokens), n_tokens
        )


def features(
    model: Any, examples: Sequence[Inputs], *, variant: Variant = "official_code"
) -> Tensor:
    """Features [N, L, D] of prompt, image and caption: the mean over all tokens of a layer.

    In the code the last layer's are read after the final norm.
    """
    normed = variant == "official_code"
    kept = [states.decoder_states(model, example, last_normed=normed) for example in examples]
    return torch.stack([state[1:].mean(1) for state in kept])


def hallu_spaces(
    truthful: Tensor, hallucinated: Tensor, *, rank: int = 4, centering: bool = False
) -> list[Tensor]:
    """Each layer's orthonormal directions V [D, k]."""
    spaces = []
    for good, bad in zip(truthful.transpose(0, 1), hallucinated.transpose(0, 1), strict=True):
        # E_l = E_l^- - E_l^+, [N, D]; its sign and the code's factor 1/2 leave V as it is
        shifts = good - bad
        if centering:
            first = torch.linalg.svd(good, full_matrices=False).Vh[0]
            shifts = shifts - torch.outer(shifts @ first, first)
        # U S V^T = E_l, V_k = the first k right singular vectors; E_l is not centred
        spaces.append(torch.linalg.svd(shifts, full_matrices=False).Vh[:rank].T)
    return spaces


def projected_weights(model: Any, spaces: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """The down projections that replace those of the layers: W <- (I - V_k V_k^T) W."""
    layers = plain_loop.layers(model)
    found = {}
    for layer, space in spaces.items():
        weight = layers[layer].mlp.down_proj.weight
        null = torch.eye(len(space)) - space @ space.T
        found[layer] = null.to(weight) @ weight.detach()
    return found


@contextmanager
def replaced(model: Any, weights: Mapping[int, Tensor]) -> Iterator[None]:
    """Put in the down projections, and put the old ones back."""
    layers = plain_loop.layers(model)
    parts = {at: layers[at].mlp.down_proj.weight for at in weights}
    before = {at: part.detach().clone() for at, part in parts.items()}
    try:
        for at, part in parts.items():
            part.data.copy_(weights[at])
        yield
    finally:
        for at, part in parts.items():
            part.data.copy_(before[at])
