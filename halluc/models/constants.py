"""What papers hard-code for a model, published where known and measured elsewhere.

VAR's sink dimensions and threshold, and the layers VHR reinforces, belong to a checkpoint. For
checkpoints the papers name they are looked up; for any other model they are measured on a handful
of drawn scenes that no benchmark uses.
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.models.adapter import VisionLanguageModel

_PAPER_WIDTH = 4096  # LLaMA-2-7B, where VAR sets tau = 20 and VHR counts 32 layers
_PAPER_TAU = 20.0
_PAPER_LATE_LAYERS = 14 / 32
_SAMPLES = 16


class Constants(BaseModel):
    """Model constants, with where they come from.

    Attributes:
        sink_dims: Hidden dimensions in which attention sinks are massive (VAR, D_sink).
        tau: A token is a sink where |x_d| / rms(x) exceeds this in one of them.
        vhr_layers: Layers whose heads VHR reinforces, 0-based.
        peak: Largest |x_d| / rms(x) met while measuring; None where published.
        source: "published: ..." or "measured on ...".
    """

    model_config = ConfigDict(frozen=True)

    sink_dims: tuple[int, ...]
    tau: float
    vhr_layers: tuple[int, ...]
    peak: float | None = None
    source: str


def late_layers(n_layers: int) -> tuple[int, ...]:
    """Index 1 and the last 14/32 of the layers: VHR's choice for LLaVA-1.5-7B, scaled."""
    return (1, *range(n_layers - ceil(n_layers * _PAPER_LATE_LAYERS), n_layers))


# Sink dimensions: VAR's code (constants.py) and paper. Keyed by the text model's type, width, depth.
_SINKS: dict[tuple[str, int, int], tuple[tuple[int, ...], str]] = {
    ("llama", 4096, 32): ((1415, 2533), "LLaMA-2-7B and Vicuna-7B, VAR"),
    ("llama", 5120, 40): ((2100, 4743), "LLaMA-2-13B and Vicuna-13B, VAR"),
    ("qwen2_vl_text", 3584, 28): ((458, 2570), "Qwen2-VL-7B, VAR"),
}


def published(model: VisionLanguageModel) -> Constants | None:
    """Constants a paper gives for a checkpoint of this text type, width and depth, if any."""
    config = model.model.config.get_text_config()
    found = _SINKS.get((config.model_type, config.hidden_size, config.num_hidden_layers))
    if found is None:
        return None
    layers = late_layers(model.n_layers)
    return Constants(
        sink_dims=found[0], tau=_PAPER_TAU, vhr_layers=layers, source=f"published: {found[1]}"
    )


def sink_dimensions(hidden: Tensor, n_dims: int = 2) -> tuple[tuple[int, ...], float]:
    """Dimensions in which the first token is most massive, as it enters the middle layer.

    Args:
        hidden: The first real token's residual stream, one row a prompt [N, D].
        n_dims: How many; VAR names two for LLaMA-2.

    Returns:
        The dimensions whose median |x_d| / rms(x) over prompts is largest, and the largest such
        median.
    """
    relative = hidden.float().abs() / (hidden.float().pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
    typical = relative.median(0).values
    top = typical.topk(n_dims)
    return tuple(sorted(top.indices.tolist())), float(top.values[0])


def measured(model: VisionLanguageModel) -> Constants:
    """Measure the constants on scenes drawn for calibration only.

    tau keeps its meaning across widths: |x_d| / rms(x) cannot exceed sqrt(D), and the paper's 20 is
    a fixed share of that at D = 4096.
    """
    import torch

    from halluc.world import scene
    from halluc.world.language import CAPTION_PROMPTS

    images = [scene("calibration", index).image() for index in range(_SAMPLES)]
    inputs = model.encode([model.render(CAPTION_PROMPTS[0])] * len(images), images)
    with torch.inference_mode():
        output = model.model(**inputs, output_hidden_states=True, use_cache=False)
    middle = output.hidden_states[model.n_layers // 2]
    first = inputs["attention_mask"].int().argmax(1)
    dims, peak = sink_dimensions(middle[torch.arange(len(images)), first])
    return Constants(
        sink_dims=dims,
        tau=_PAPER_TAU * sqrt(middle.shape[-1] / _PAPER_WIDTH),
        vhr_layers=late_layers(model.n_layers),
        peak=peak,
        source=f"measured on {_SAMPLES} drawn scenes",
    )
