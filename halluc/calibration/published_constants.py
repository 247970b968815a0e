"""What papers hard-code for a model, published where known and measured elsewhere.

VAR's sink dimensions and threshold, and the layers VHR reinforces, belong to a checkpoint. For
checkpoints the papers name they are looked up; for any other model they are measured on a handful
of drawn scenes that no benchmark uses (`halluc.calibration.model_constants`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from halluc.models.adapter import VisionLanguageModel

PAPER_WIDTH = 4096  # LLaMA-2-7B, where VAR sets tau = 20 and VHR counts 32 layers
PAPER_TAU = 20.0


class Constants(BaseModel):
    """Model constants, with where they come from.

    Attributes:
        sink_dims: Hidden dimensions in which attention sinks are massive (VAR, D_sink).
        tau: A token is a sink where |x_d| / rms(x) exceeds this in one of them.
        vhr_layers: Layers whose heads VHR reinforces, 0-based.
        peak: Largest typical |x_d| / rms(x) of the first token; None where published.
        shifts: Mean relative change of each layer's head outputs without the image; empty where
            published.
        source: "published: ..." or "measured on ...".
    """

    model_config = ConfigDict(frozen=True)

    sink_dims: tuple[int, ...]
    tau: float
    vhr_layers: tuple[int, ...]
    peak: float | None = None
    shifts: tuple[float, ...] = ()
    source: str


# VAR's code (constants.py) and paper; VHR's section 4. Keyed by text type, width and depth.
_PUBLISHED: dict[tuple[str, int, int], tuple[tuple[int, ...], str]] = {
    ("llama", 4096, 32): ((1415, 2533), "LLaMA-2-7B and Vicuna-7B"),
    ("llama", 5120, 40): ((2100, 4743), "LLaMA-2-13B and Vicuna-13B"),
    ("qwen2_vl_text", 3584, 28): ((458, 2570), "Qwen2-VL-7B"),
}


def published(model: VisionLanguageModel) -> Constants | None:
    """Constants the papers give for a checkpoint of this text type, width and depth, if any.

    VHR names layer index 1 and the last 14 for the 7B models; other depths take the same rule.
    """
    config = model.model.config.get_text_config()
    found = _PUBLISHED.get((config.model_type, config.hidden_size, config.num_hidden_layers))
    if found is None:
        return None
    dims, name = found
    return Constants(
        sink_dims=dims,
        tau=PAPER_TAU,
        vhr_layers=(1, *range(model.n_layers - 14, model.n_layers)),
        source=f"published: {name}",
    )
