"""Measure a model's constants, by default on drawn scenes kept for this alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import sqrt
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from halluc.calibration.published_constants import PAPER_TAU, PAPER_WIDTH, Constants
from halluc.interventions import Method, MethodParams, Site
from halluc.interventions.engine import intervene
from halluc.types import Sample

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
    both = model.stacked(inputs, model.without_image(inputs))  # Q-Formers' batches need images
    with torch.inference_mode():
        hidden, outputs = _run(model, both)
    seen = {layer: output.chunk(2)[0] for layer, output in outputs.items()}
    unseen = {layer: output.chunk(2)[1] for layer, output in outputs.items()}
    dims, peak = sink_dimensions(hidden[model.first_token(both)][: len(samples)])
    moved = shifts(seen, unseen, model.n_layers)
    return Constants(
        sink_dims=dims,
        tau=PAPER_TAU * sqrt(hidden.shape[-1] / PAPER_WIDTH),
        vhr_layers=largest(moved, round(len(seen) * _SHARE)),
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


def shifts(seen: dict[int, Tensor], unseen: dict[int, Tensor], n_layers: int) -> tuple[float, ...]:
    """How far each layer's head outputs move, for their size, when the image is taken away.

    Args:
        seen, unseen: By layer, the head outputs before o_proj at the predicting position, with and
            without the image [N, H * d].
        n_layers: How many layers there are.

    Returns:
        One number a layer, 0 where heads cannot be reached.
    """

    def moved(a: Tensor, b: Tensor) -> float:
        return float(((a - b).norm(dim=-1) / (a.norm(dim=-1) + 1e-6)).mean())

    return tuple(moved(seen[i], unseen[i]) if i in seen else 0.0 for i in range(n_layers))


def largest(values: Sequence[float], n: int) -> tuple[int, ...]:
    """Indices of the n largest values, ascending."""
    return tuple(sorted(sorted(range(len(values)), key=lambda i: -values[i])[:n]))


def _scenes() -> list[Sample]:
    from halluc.world import render, scene
    from halluc.world.language import CAPTION_PROMPTS

    scenes = [scene("calibration", index) for index in range(SAMPLES)]
    return [
        Sample(drawn.file_name, drawn.file_name, CAPTION_PROMPTS[0], partial(render, drawn))
        for drawn in scenes
    ]


class _Probe(Method):
    """Keeps the residual stream entering the middle layer, and each layer's last head outputs."""

    name = "probe"
    cross_attention = True

    def __init__(self, middle: int) -> None:
        super().__init__(MethodParams())
        self.middle = middle
        self.entering: list[Tensor] = []
        self.outputs: dict[int, Tensor] = {}

    def observe(self, site: Site, hidden: Tensor) -> None:
        if site.layer == self.middle:
            self.entering.append(hidden)

    def heads(self, site: Site, outputs: Tensor) -> Tensor:
        self.outputs[site.layer] = outputs[:, -1].flatten(1).float()
        return outputs.new_ones(1, 1)


def _run(model: VisionLanguageModel, inputs: dict[str, Any]) -> tuple[Tensor, dict[int, Tensor]]:
    """The residual stream entering the middle layer, and the layers' last head outputs."""
    probe = _Probe(model.n_layers // 2)
    with intervene(model, probe, model.prompted(inputs)):
        model.model(**inputs, use_cache=False, logits_to_keep=1)
    return probe.entering[0], probe.outputs
