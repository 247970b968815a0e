"""Measure a model's constants, by default on drawn scenes kept for this alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from math import sqrt
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from halluc.models.constants import PAPER_TAU, PAPER_WIDTH, Constants
from halluc.samples import Sample

if TYPE_CHECKING:
    from halluc.models.adapter import VisionLanguageModel

SAMPLES = 16
_SHARE = 15 / 32  # of its layers that VHR reinforces in LLaVA-1.5-7B


def measured(model: VisionLanguageModel, samples: Sequence[Sample] = ()) -> Constants:
    """Measure sink dimensions, tau and VHR's layers.

    Args:
        samples: What to measure on; descriptions of scenes drawn for calibration if there are none.

    tau keeps its meaning across widths: |x_d| / rms(x) cannot exceed sqrt(D), and the paper's 20
    is a fixed share of that at D = 4096.
    """
    samples = samples or _scenes()
    images = [sample.load_image() for sample in samples]
    inputs = model.encode([model.render(sample.prompt) for sample in samples], images)
    with torch.inference_mode():
        hidden, seen = _run(model, inputs)
        _, unseen = _run(model, model.without_image(inputs))
    rows = torch.arange(len(hidden), device=hidden.device)
    first = hidden[rows, inputs["attention_mask"].int().argmax(1)]
    dims, peak = sink_dimensions(first)
    moved = shifts(seen, unseen)
    return Constants(
        sink_dims=dims,
        tau=PAPER_TAU * sqrt(hidden.shape[-1] / PAPER_WIDTH),
        vhr_layers=largest(moved, round(model.n_layers * _SHARE)),
        peak=peak,
        shifts=moved,
        source=f"measured on {len(samples)} samples",
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


def shifts(seen: list[Tensor], unseen: list[Tensor]) -> tuple[float, ...]:
    """How far each layer's head outputs move, for their size, when the image is taken away.

    Args:
        seen, unseen: Each layer's head outputs before o_proj at the predicting position, with and
            without the image [N, H * d].
    """
    return tuple(
        float(((a - b).norm(dim=-1) / (a.norm(dim=-1) + 1e-6)).mean())
        for a, b in zip(seen, unseen, strict=True)
    )


def largest(values: Sequence[float], n: int) -> tuple[int, ...]:
    """Indices of the n largest values, ascending."""
    return tuple(sorted(sorted(range(len(values)), key=lambda i: -values[i])[:n]))


def _scenes() -> list[Sample]:
    from halluc.world import scene
    from halluc.world.language import CAPTION_PROMPTS

    scenes = [scene("calibration", index) for index in range(SAMPLES)]
    return [Sample(one.file_name, one.file_name, CAPTION_PROMPTS[0], one.image) for one in scenes]


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
