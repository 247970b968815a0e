"""Measure a model's constants on drawn scenes kept for this alone."""

from __future__ import annotations

from contextlib import ExitStack
from math import sqrt
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from halluc.models.constants import PAPER_TAU, PAPER_WIDTH, Constants

if TYPE_CHECKING:
    from halluc.models.adapter import VisionLanguageModel

SAMPLES = 16
_SHARE = 15 / 32  # of its layers that VHR reinforces in LLaVA-1.5-7B


def measured(model: VisionLanguageModel) -> Constants:
    """Measure sink dimensions, tau and VHR's layers on scenes of the split "calibration".

    tau keeps its meaning across widths: |x_d| / rms(x) cannot exceed sqrt(D), and the paper's 20
    is a fixed share of that at D = 4096.
    """
    inputs = _inputs(model)
    with torch.inference_mode():
        hidden, seen = _run(model, inputs)
        _, unseen = _run(model, model.without_image(inputs))
    rows = torch.arange(len(hidden), device=hidden.device)
    first = hidden[rows, inputs["attention_mask"].int().argmax(1)]
    dims, peak = sink_dimensions(first)
    return Constants(
        sink_dims=dims,
        tau=PAPER_TAU * sqrt(hidden.shape[-1] / PAPER_WIDTH),
        vhr_layers=image_sensitive_layers(seen, unseen, round(model.n_layers * _SHARE)),
        peak=peak,
        source=f"measured on {SAMPLES} drawn scenes",
    )


def sink_dimensions(first: Tensor, n_dims: int = 2) -> tuple[tuple[int, ...], float]:
    """Dimensions in which the first token is most massive, as it enters the middle layer.

    Args:
        first: The first real token's residual stream, one row a prompt [N, D].
        n_dims: How many; VAR names two for LLaMA-2.

    Returns:
        The dimensions whose median |x_d| / rms(x) over prompts is largest, and the largest such
        median.
    """
    first = first.float()
    relative = first.abs() / (first.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
    typical = relative.median(0).values
    top = typical.topk(n_dims)
    return tuple(sorted(top.indices.tolist())), float(top.values[0])


def image_sensitive_layers(
    seen: list[Tensor], unseen: list[Tensor], n_layers: int
) -> tuple[int, ...]:
    """Layers whose head outputs move most, for their size, when the image is taken away.

    Args:
        seen, unseen: Each layer's head outputs before o_proj at the predicting position, with and
            without the image [N, H * d].
        n_layers: How many to choose.

    Returns:
        0-based indices, ascending.
    """
    moved = [
        float(((a - b).norm(dim=-1) / (a.norm(dim=-1) + 1e-6)).mean())
        for a, b in zip(seen, unseen, strict=True)
    ]
    ranked = sorted(range(len(moved)), key=lambda layer: -moved[layer])
    return tuple(sorted(ranked[:n_layers]))


def _inputs(model: VisionLanguageModel) -> dict[str, Any]:
    from halluc.world import scene
    from halluc.world.language import CAPTION_PROMPTS

    images = [scene("calibration", index).image() for index in range(SAMPLES)]
    return model.encode([model.render(CAPTION_PROMPTS[0])] * SAMPLES, images)


def _run(model: VisionLanguageModel, inputs: dict[str, Any]) -> tuple[Tensor, list[Tensor]]:
    """The residual stream entering the middle layer, and each layer's last head outputs."""
    entering: list[Tensor] = []
    outputs: list[Tensor] = []
    with ExitStack() as stack:
        for module in model.attention_modules:
            handle = module.o_proj.register_forward_pre_hook(  # type: ignore[union-attr]
                lambda _, args: outputs.append(args[0][:, -1].float())
            )
            stack.callback(handle.remove)
        middle = model.layers[model.n_layers // 2]
        handle = middle.register_forward_pre_hook(
            lambda _, args, kwargs: entering.append(args[0] if args else kwargs["hidden_states"]),
            with_kwargs=True,
        )
        stack.callback(handle.remove)
        model.model(**inputs, use_cache=False, logits_to_keep=1)
    return entering[0], outputs
