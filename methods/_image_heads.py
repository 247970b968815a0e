"""Heads and layers that depend on the image, as VHR finds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.models import VisionLanguageModel
    from halluc.types import Sample


_PUBLISHED = {  # section 4.4, Vicuna-7B in each
    "llava": (1, *range(18, 32)),
    "llava_next": (1, *range(18, 32)),
    "instructblip": tuple(range(14, 32)),
}
_SHARE = 15 / 32  # of its layers that VHR reinforces in LLaVA-1.5-7B


def published_layers(config: Any) -> tuple[int, ...] | None:
    """Look up the layers the paper reinforces in a checkpoint of this configuration, if it does."""
    text = config.get_text_config()
    is_7b = text.model_type == "llama" and (text.hidden_size, text.num_hidden_layers) == (4096, 32)
    vicuna = is_7b and 32000 <= text.vocab_size < 32128  # LLaMA-3's vocabulary is larger
    return _PUBLISHED.get(config.model_type) if vicuna else None


class MeasuredLayers(NamedTuple):
    """Layers whose heads depend on the image.

    Attributes:
        layers: Those to reinforce, ascending.
        shifts: Relative distance that each layer's head outputs move without the image; 0 where
            heads cannot be reached.
    """

    layers: tuple[int, ...]
    shifts: tuple[float, ...]


def measured_layers(model: VisionLanguageModel, samples: Sequence[Sample] = ()) -> MeasuredLayers:
    """Measure which layers' head outputs move most when the image is taken away.

    Args:
        samples: Prompts and images to measure on; descriptions of drawn scenes by default.
    """
    from halluc.calibration.probing import probed

    states = probed(model, samples)

    def shift(layer: int) -> float:
        if layer not in states.seen:
            return 0.0
        seen, unseen = states.seen[layer], states.unseen[layer]
        moved = (seen - unseen).norm(dim=-1) / (seen.norm(dim=-1) + 1e-6)
        return float(moved.mean())

    shifts = tuple(shift(layer) for layer in range(model.n_layers))
    count = round(len(states.seen) * _SHARE)
    most = sorted(range(len(shifts)), key=lambda layer: -shifts[layer])[:count]
    return MeasuredLayers(tuple(sorted(most)), shifts)


def divergence(with_image: Tensor, without_image: Tensor) -> Tensor:
    """Measure VHD, the distance a head's output moves when the image is removed (VHR, eq. 4).

    Args:
        with_image, without_image: Head outputs before o_proj at the predicting position [B, H, d].

    Returns:
        Euclidean distances [B, H].
    """
    distance: Tensor = (with_image.float() - without_image.float()).norm(dim=-1)
    return distance


def drop_outliers(vhd: Tensor, text: Tensor, *, unbiased: bool = True) -> Tensor:
    """Zero the VHD of heads that are extreme without the image too (VHR, eq. 6).

    Args:
        vhd: [B, H].
        text: The heads' activity without the image, TA [B, H].
        unbiased: Divide by H - 1 in the standard deviation over heads (torch.std's default).

    Returns:
        [B, H]: 0 where both vhd and text exceed their mean plus standard deviation over heads.
    """

    def extreme(x: Tensor) -> Tensor:
        deviation = x.std(-1, correction=int(unbiased), keepdim=True)
        return x > x.mean(-1, keepdim=True) + deviation

    return vhd.masked_fill(extreme(vhd) & extreme(text), 0.0)


def sensitive_heads(vhd: Tensor) -> Tensor:
    """Mark heads above their layer's median VHD (VHR, eq. 7).

    The median of an even number of heads is the mean of the middle two, so half of them pass.

    Args:
        vhd: [B, H].

    Returns:
        bool [B, H].
    """
    ordered = vhd.sort(-1).values
    heads = vhd.shape[-1]
    median = (ordered[..., (heads - 1) // 2] + ordered[..., heads // 2]) / 2
    return vhd > median[..., None]
