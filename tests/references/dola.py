"""DoLa, Decoding by Contrasting Layers (arXiv 2309.03883; voidism/DoLa 805230e)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from tests.references.plain_loop import Inputs, decoder, eager, forward, greedy, layers

Variant = Literal["paper", "official_code"]
Bucket = Literal["low", "high"]


def candidates(depth: int, bucket: Bucket) -> list[int]:
    """Even-numbered hidden states of the lower or upper half; 0 is the embedding.

    32 layers: 0, 2, ..., 14 or 16, 18, ..., 30. The mature layer, `depth`, is in neither. Above 40
    layers the code's lists are 20 wide, at either end.
    """
    width = depth / 2 if depth <= 40 else 20
    low = bucket == "low"
    return [i for i in range(0, depth, 2) if (i < width if low else i >= depth - width)]


def divergence(mature: Tensor, early: Tensor, variant: Variant) -> Tensor:
    """How far log-probabilities [V] and those of early layers [C, V] lie apart, [C]."""
    middle = torch.logaddexp(mature, early) - math.log(2)
    if variant == "paper":
        # Paper: JSD(q_N, q_j) = KL(q_N || M) / 2 + KL(q_j || M) / 2, M = (q_N + q_j) / 2.
        near = (mature.exp() * (mature - middle)).sum(-1)
        far = (early.exp() * (early - middle)).sum(-1)
    else:
        # Code: kl_div(log q, M) is KL(M || q), the other way round; the mean over V in place of
        # the sum changes no argmax.
        near = kl_div(mature.expand_as(middle), middle.exp(), reduction="none").mean(-1)
        far = kl_div(early, middle.exp(), reduction="none").mean(-1)
    return 0.5 * (near + far)


def dola(
    model: Any,
    inputs: Inputs,
    *,
    n_tokens: int = 12,
    bucket: Bucket = "low",
    early_layers: Sequence[int] | None = None,
    relative_top: float = 0.1,
    variant: Variant = "paper",
    chosen: list[int] | None = None,
) -> tuple[list[int], Tensor]:
    """Greedy tokens and contrasted logits.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with its image.
        n_tokens: Tokens at most.
        bucket: Which half of the layers the early one is chosen from.
        early_layers: Hidden states to choose from in place of a bucket.
        relative_top: Tokens less likely than this times the likeliest are cut off; 1 leaves
            greedy decoding as it is.
        variant: They differ by the final norm on early layers and by the divergence.
        chosen: Filled with the layer chosen at each step.
    """
    choice = list(early_layers or candidates(len(layers(model)), bucket))

    def logits(tokens: list[int]) -> Tensor:
        output = forward(model, inputs, tokens, output_hidden_states=True)
        assert len(output.hidden_states) == len(layers(model)) + 1
        # Paper: q_j(x_t | x_<t) = softmax(phi(h_t^(j))), phi the vocabulary head.
        states = torch.stack([output.hidden_states[layer][0, -1] for layer in choice])
        if variant == "paper":
            # Only the last layer's state comes normed; the head is made for such. The code
            # leaves early states as they are.
            states = decoder(model).norm(states)
        with torch.no_grad():
            early = model.lm_head(states).float().log_softmax(-1)
        mature = output.logits[0, -1].float().log_softmax(-1)
        # Paper: M = argmax_j d(q_N, q_j), again for every token.
        best = int(divergence(mature, early, variant).argmax())
        if chosen is not None:
            chosen.append(choice[best])
        # Paper: F(q_N, q_M) = log(q_N / q_M) in V_head = {x: q_N(x) >= alpha max q_N}, else -inf.
        contrasted: Tensor = mature - early[best]
        return contrasted.masked_fill(mature < math.log(relative_top) + mature.max(), -math.inf)

    with eager(model):
        return greedy(model, logits, n_tokens)
