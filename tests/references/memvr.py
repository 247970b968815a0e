"""MemVR, Memory-space Visual Retracing (arXiv 2410.03577; 1zhou-Wang/MemVR de2e3cf).

The paper's lines are from memory, its body could not be opened; the code's are checked.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from tests.references.plain_loop import (
    Inputs,
    decoder,
    eager,
    forward,
    greedy,
    image_features,
    layers,
)


@dataclass
class Pass:
    """What one forward pass of cached decoding sees: the whole prompt, or one new token."""

    rows: slice
    edited: int | None = None
    """The layer whose FFN looks at the image again."""


def bounds(depth: int, kind: str) -> tuple[int, int]:
    """The code's 5 (Qwen: 9) and 16 of 32 layers, by depth; those strictly between may trigger."""
    begin, later, end = (number * depth // 32 for number in (5, 9, 16))
    return max(begin, min(later, end - 2)) if "qwen" in kind else begin, end


def uncertainty(logits: Tensor) -> Tensor:
    """Entropy of the 10 best tokens among themselves, 1 where all are alike."""
    # Paper: u = sum_{y in V_10} -p(y) log p(y) / log 10. The softmax is over the 10 only.
    chance = logits.float().topk(10).values.softmax(-1)
    return -(chance * chance.log()).sum(-1) / math.log(10)


def retraced(
    x: Tensor, output: Tensor, visual: Tensor, mlp: Any, ratio: float, variant: str
) -> Tensor:
    """An FFN's output [R, D] mixed with what its input [R, D] reads from the image tokens."""
    # The image tokens [N, D] at the scale of the FFN's own keys and values.
    size = visual.abs().mean()
    keys = visual * (mlp.up_proj.weight.abs().mean() / size)
    values = visual * (mlp.down_proj.weight.abs().mean() / size)
    # Paper: Delta(z_v | x) = sum_i phi(<x, z_i>) z_i. The code for LLaVA has no phi (those for
    # Qwen-VL and GLM-4V have SiLU), so that there the two scales cancel below.
    match: Tensor = x @ keys.T
    if variant == "paper":
        match = mlp.act_fn(match)
    read = match @ values
    # Code: as large as the FFN's output, over all rows of the pass together.
    read = read * (output.abs().mean() / read.abs().mean())
    # Paper: FFN(x, z_v) = (1 - alpha) FFN(x) + alpha Delta(z_v | x).
    mixed: Tensor = (1 - ratio) * output + ratio * read
    return mixed


def memvr(
    model: Any,
    inputs: Inputs,
    *,
    n_tokens: int = 12,
    ratio: float = 0.12,
    threshold: float = 0.75,
    between: tuple[int, int] | None = None,
    variant: Literal["paper", "official_code"] = "official_code",
    edited: list[int | None] | None = None,
) -> tuple[list[int], Tensor]:
    """Greedy tokens and the logits of the model that looks twice.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with one image.
        n_tokens: Tokens at most.
        ratio: Share of the image in the FFN's output; 0 is the model itself.
        threshold: Uncertainty that a layer must exceed; nothing exceeds 1.
        between: Layers, counted from 0, strictly between these two may trigger.
        variant: "paper" has the FFN's activation between keys and values.
        edited: Filled with the layer edited in each pass, None where there was none.
    """
    head, norm, blocks = model.lm_head, decoder(model).norm, layers(model)
    first, last = between or bounds(len(blocks), model.config.model_type)
    visual = image_features(model, inputs).float()
    length = inputs["input_ids"].shape[1]

    def logits(tokens: list[int]) -> Tensor:
        # A token's pass is decided by that token's own state, the prompt's by its last row.
        # Causality lets all passes run as one: what a row was given in its pass, it has here.
        passes = [Pass(slice(0, length))]
        passes += [Pass(slice(length + i, length + i + 1)) for i in range(len(tokens))]

        def trigger(layer: int, state: Tensor) -> None:
            for one in passes:
                # Paper: the first layer whose uncertainty exceeds gamma; once in a pass.
                if one.edited is None and first < layer < last:
                    u = uncertainty(head(norm(state[0, one.rows.stop - 1])))
                    one.edited = layer + 1 if u > threshold else None

        def look(layer: int, mlp: Any, x: Tensor, output: Tensor) -> Tensor:
            output = output.clone()
            for one in passes:
                if one.edited == layer:
                    rows = one.rows
                    output[0, rows] = retraced(
                        x[0, rows], output[0, rows], visual, mlp, ratio, variant
                    )
            return output

        with ExitStack() as stack:
            for layer, block in enumerate(blocks):
                stack.callback(
                    block.mlp.register_forward_hook(
                        lambda mlp, args, output, layer=layer: look(layer, mlp, args[0], output)
                    ).remove
                )
                stack.callback(
                    block.register_forward_hook(
                        lambda _, args, output, layer=layer: trigger(layer, output)
                    ).remove
                )
            found: Tensor = forward(model, inputs, tokens).logits[0, -1].float()
        if edited is not None:
            edited.append(passes[-1].edited)
        return found

    with eager(model), torch.no_grad():
        return greedy(model, logits, n_tokens)
