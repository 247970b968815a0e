"""Attention sinks as VAR finds them, by massive dimensions, and redistributes their attention."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from halluc.models.massive import MASSIVE, root_mean_square

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.models import VisionLanguageModel
    from halluc.types import Sample


TAU = 20.0  # the paper's threshold, for the language models below
# D_sink as published (VAR's constants.py and paper), by what tells language models apart. LLaMA-1,
# which InstructBLIP's Vicuna 1.1 goes back to, and LLaMA-3 have dimensions of their own.
_SEVEN_B = (1415, 2533)
_PUBLISHED: dict[tuple[str, int, int, int], tuple[int, ...]] = {
    ("llama", 4096, 32, 32): _SEVEN_B,  # LLaMA-2-7B, Vicuna-7B 1.5
    ("llama", 5120, 40, 40): (2100, 4743),  # LLaMA-2-13B, Vicuna-13B 1.5
    ("qwen2_vl_text", 3584, 28, 4): (458, 2570),  # Qwen2-VL-7B
}
_LLAMA_1 = ("instructblip",)  # families whose language model is older than their configuration says


def sink_tokens(hidden: Tensor, dims: tuple[int, ...], tau: float) -> Tensor:
    """Mark tokens whose residual stream is massive in one of the sink dimensions.

    Args:
        hidden: The residual stream entering a layer [B, T, D].
        dims: D_sink.
        tau: Threshold on |x_d| / rms(x); at most sqrt(D) is possible.

    Returns:
        bool [B, T].
    """
    size = hidden[..., list(dims)].float().abs().amax(-1)
    return size / root_mean_square(hidden) > tau


_PER_TOKEN = 1e-6  # the published code adds this to every image token's attention


def published_sinks(config: Any, variant: str = "paper") -> tuple[int, ...] | None:
    """Look up D_sink as published for a checkpoint of this configuration, if it is.

    Args:
        variant: The published code never leaves the dimensions of LLaMA-2-7B (VAR: `dim_sink`).
    """
    text = config.get_text_config()
    keys = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    known = _PUBLISHED.get((text.model_type, text.hidden_size, text.num_hidden_layers, keys))
    older = config.model_type in _LLAMA_1
    other_words = text.model_type == "llama" and not 32000 <= text.vocab_size < 32128
    if older or other_words:
        return None
    of_7b = variant == "official_code" and known is not None and text.model_type == "llama"
    return _SEVEN_B if of_7b else known


class Sinks(NamedTuple):
    """Dimensions in which sinks are massive.

    Attributes:
        dims: D_sink, ascending.
        tau: The threshold on |x_d| / rms(x): the middle of the gap between sinks and other tokens.
        peak: The largest |x_d| / rms(x) in any of the dimensions.
        share: The share of tokens that are massive.
    """

    dims: tuple[int, ...]
    tau: float
    peak: float
    share: float


_ALSO = 0.2  # a second dimension counts if massive tokens typically reach this share in it


def measured_sinks(model: VisionLanguageModel, samples: Sequence[Sample] = ()) -> Sinks:
    """Measure D_sink and tau on samples; on descriptions of drawn scenes if there are none."""
    from halluc.calibration.probing import probed

    found = probed(model, samples)
    return sink_dimensions(found.tokens, found.first)


def sink_dimensions(tokens: Tensor, first: Tensor, n_dims: int = 2) -> Sinks:
    """Find the dimensions in which tokens are massive, and what tells those from the others.

    Where no token is massive, the dimensions are those in which first tokens are largest, and tau
    is what a sink would have to pass: none does.

    Args:
        tokens: Residual streams entering the middle layer, a row a token [N, D].
        first: Tokens that stand first in their prompt, bool [N].
        n_dims: The most dimensions; VAR names two for LLaMA-2.
    """
    tokens = tokens.float()
    relative = tokens.abs() / root_mean_square(tokens)[:, None]
    most = sqrt(tokens.shape[-1])
    massive = relative.amax(1) >= MASSIVE * most
    typical = relative[massive if massive.any() else first].median(0).values
    top = typical.topk(n_dims)
    dims = [int(top.indices[0])]
    dims += [
        int(dim)
        for size, dim in zip(top.values[1:], top.indices[1:], strict=True)
        if size >= _ALSO * most or not massive.any()
    ]
    size = relative[:, dims].amax(1)
    split = MASSIVE * most
    above, below = size[size >= split], size[size < split]
    gap = (float(above.min()) + float(below.max())) / 2 if len(above) and len(below) else split
    return Sinks(tuple(sorted(dims)), gap, float(size.max()), float(massive.float().mean()))


def redistribute(
    attention: Tensor,
    sinks: Tensor,
    image_columns: Tensor,
    rows: Tensor,
    *,
    keep: float,
    rho: float,
    min_image_mass: float,
    without_visual_sinks: bool = False,
) -> Tensor:
    """Move attention from sinks to the image tokens that are not sinks (VAR, eq. 3 and 4).

    Args:
        attention: Weights after the softmax [B, H, Q, K].
        sinks: Sink tokens, of text and image alike, bool [B, K].
        image_columns: Image tokens, bool [B, K].
        rows: Query rows that may be edited, bool [B, Q].
        keep: Share of its attention that a sink keeps, 0 to 1 (the published code's p).
        rho: A row of a head is edited if at most this share of its image attention goes to visual
            sinks (the code's sense; the paper's rho is 1 minus it).
        min_image_mass: ... and if at least this much of its attention goes to the image.
        without_visual_sinks: Edit samples with no visual sink too, as the paper's rule implies;
            the published code leaves them alone.

    Returns:
        Edited weights [B, H, Q, K]; each row keeps its sum.
    """
    # The paper's lines, for one row a of a chosen head with sinks S, free image tokens I and share
    # p that sinks keep:
    #   budget = (1 - p) sum_S a_s
    #   a'_s = p a_s                                   for s in S
    #   a'_i = a_i + budget * a_i / sum_I a_j          for i in I
    # So a' = a + change * a with change = -(1 - p) in S and budget / sum_I a_j in I. One product
    # with three indicator columns gives all sums of a row, one with two lays the change over the
    # keys, and no copy of `attention` is made but the result.
    kinds = (image_columns & ~sinks, sinks, image_columns & sinks)
    columns = kinds[0].new_empty(*sinks.shape, 3).to(attention)
    for number, kind in enumerate(kinds):
        columns[..., number] = kind
    flat = attention.flatten(1, 2)  # [B, H * Q, K]: one product a sample
    free, sink, visual_sink = (flat @ columns).unflatten(1, attention.shape[1:3]).unbind(-1)
    image = free + visual_sink
    floor = _PER_TOKEN * image_columns.sum(-1)[:, None, None]

    chosen = rows[:, None] & (visual_sink <= rho * (image + floor)) & (image >= min_image_mass)
    chosen = chosen & (free > 0)
    if not without_visual_sinks:
        chosen = chosen & kinds[2].any(-1)[:, None, None]
    moved = (1 - keep) * chosen.to(attention)
    factor = moved.new_empty(*moved.shape, 2)
    factor[..., 0], factor[..., 1] = moved * sink / free.clamp(min=1e-12), -moved
    change = factor.flatten(1, 2) @ columns[..., :2].transpose(1, 2)
    return attention.addcmul(attention, change.view_as(attention))
