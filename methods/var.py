"""VAR: Visual Attention Redistribution.

Attention sinks (tokens with a few massive hidden dimensions) soak up attention that says nothing.
In heads that look at the image, VAR takes part of what all sinks receive and gives it to the image
tokens that are not sinks, in proportion to what they have.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from halluc.errors import UserError
from halluc.interventions import Calibrated, Method, MethodCard, MethodParams, method
from halluc.interventions.requirements import needs_shared_rows

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.calibration import Calibrator
    from halluc.interventions import At
    from halluc.models import VisionLanguageModel
    from halluc.types import Sample

TAU = 20.0  # the paper's threshold, for a width of 4096
_WIDTH = 4096

# D_sink as published (VAR's constants.py and paper), by what tells language models apart. LLaMA-1,
# which InstructBLIP's Vicuna 1.1 goes back to, and LLaMA-3 have dimensions of their own.
_PUBLISHED: dict[tuple[str, int, int, int], tuple[int, ...]] = {
    ("llama", 4096, 32, 32): (1415, 2533),  # LLaMA-2-7B, Vicuna-7B 1.5
    ("llama", 5120, 40, 40): (2100, 4743),  # LLaMA-2-13B, Vicuna-13B 1.5
    ("qwen2_vl_text", 3584, 28, 4): (458, 2570),  # Qwen2-VL-7B
}
_LLAMA_1 = ("instructblip",)  # families whose language model is older than their configuration says

_PER_TOKEN = 1e-6  # the published code adds this to every image token's attention


def sink_tokens(hidden: Tensor, dims: tuple[int, ...], tau: float) -> Tensor:
    """Tokens whose residual stream is massive in one of the sink dimensions.

    Args:
        hidden: The residual stream entering a layer [B, T, D].
        dims: D_sink.
        tau: Threshold on |x_d| / rms(x); at most sqrt(D) is possible.

    Returns:
        bool [B, T].
    """
    hidden = hidden.float()
    rms = (hidden.pow(2).mean(-1) + 1e-6).sqrt()
    return hidden[..., list(dims)].abs().amax(-1) / rms > tau


def published_sinks(config: Any) -> tuple[int, ...] | None:
    """Look up D_sink as published for a checkpoint of this configuration, if it is."""
    text = config.get_text_config()
    keys = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    known = _PUBLISHED.get((text.model_type, text.hidden_size, text.num_hidden_layers, keys))
    older = config.model_type in _LLAMA_1
    other_words = text.model_type == "llama" and not 32000 <= text.vocab_size < 32128
    return None if older or other_words else known


def sink_dimensions(first: Tensor, n_dims: int = 2) -> tuple[tuple[int, ...], float]:
    """Find the dimensions in which the first token is most massive, entering the middle layer.

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
    """Move attention from the sinks to the image tokens that are none (VAR, eq. 3 and 4).

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


@method("var")
class VAR(Method):
    """Redistributes sink attention in rows after the image, layers 2 to L-2."""

    card = MethodCard(
        title="See What You Are Told: Visual Attention Sink in Large Multimodal Models",
        authors="Kang, Kim, Kim and Hwang",
        year=2025,
        venue="ICLR",
        paper="arXiv:2503.03321",
        code="https://github.com/seilk/VisAttnSink@98e62d6",
        deviations=(
            "paper moves 60% of the sinks' attention (keep 0.4), the code 40% (keep 0.6)",
            "paper leaves the last layer alone, the code edits it; both leave the first two alone",
            "paper's rule edits heads when the image holds no sink, the code does not",
            "the code's stale state across samples (sink positions of the first sample) is not "
            "reproduced; rows=all edits image rows too, as the code does from its second sample on",
            "the threshold 0.5 for rho is the paper's for hallucination benchmarks",
            "sink dimensions are published for LLaMA-2-7B and 13B and Qwen2-VL-7B; for any other "
            "language model they are measured: the two in which the first token is most massive in "
            "the middle layer, with tau = 20 sqrt(D / 4096), the same share of the largest value "
            "|x_d| / rms(x) can take",
            "the code ran LLaVA-1.5 with Vicuna's system prompt, which the checkpoint's template "
            "on the hub leaves out: --model-args system_prompt=vicuna",
        ),
    )

    noop = {"keep": 1.0}
    hidden_phases = ("prefix", "prefill")

    class Params(MethodParams):
        """VAR's parameters; None takes the variant's or the model's own value."""

        variant: Literal["paper", "official_code"] = "paper"
        keep: float | None = Field(None, ge=0, le=1, description="share a sink keeps")
        rho: float = Field(0.5, ge=0, le=1, description="largest share of visual sinks (code's)")
        rows: Literal["after_image", "all"] = Field("after_image", description="rows edited")
        min_image_mass: float = Field(0.2, ge=0, le=1, description="least attention to the image")
        tau: float | None = Field(None, gt=0, description="sink threshold on |x_d| / rms(x)")
        sink_dims: tuple[int, ...] | None = Field(None, min_length=1, description="D_sink")

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.rows = params.rows
        self.prefix_depends_on = "nothing" if params.rows == "after_image" else "method"

    @classmethod
    def requires(cls, params: Params, config: Any, model: str) -> None:
        """Image tokens among the text's."""
        needs_shared_rows("var", config, model)

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Fill in keep by variant, and sink dimensions and tau by model."""
        filled: dict[str, Any] = {}
        if params.keep is None:
            filled["keep"] = 0.4 if params.variant == "paper" else 0.6
        if params.tau is None:
            filled["tau"] = cls._tau(model)
        if params.sink_dims is None:
            known = published_sinks(model.model.config)
            filled["sink_dims"] = known or cls._measured(model)[0]
        width = model.model.config.get_text_config().hidden_size
        for dim in params.sink_dims or ():
            if not 0 <= dim < width:
                raise UserError(
                    f"method 'var': sink_dims names dimension {dim}; the residual stream of "
                    f"{model.name!r} has dimensions 0 to {width - 1}"
                )
        return params.model_copy(update=filled)

    @staticmethod
    def _tau(model: VisionLanguageModel) -> float:
        """Scale the paper's threshold to the width: |x_d| / rms(x) is at most sqrt(D)."""
        if published_sinks(model.model.config) is not None:
            return TAU
        return TAU * sqrt(model.model.config.get_text_config().hidden_size / _WIDTH)

    @staticmethod
    def _measured(
        model: VisionLanguageModel, samples: Sequence[Sample] = ()
    ) -> tuple[tuple[int, ...], float]:
        from halluc.calibration.probing import probed

        return sink_dimensions(probed(model, samples).first)

    @classmethod
    def calibrate(cls, params: Params, calibrator: Calibrator) -> Calibrated:
        """Find the dimensions in which the first token is massive, and scale tau to the width.

        Raises:
            UserError: If they are published for the checkpoint, and measuring was not asked for.
        """
        if published_sinks(calibrator.model.model.config) and not calibrator.recalibrate:
            raise UserError(
                f"{calibrator.model.name}: VAR's sink dimensions are published; --recalibrate "
                "measures them again"
            )
        dims, peak = cls._measured(calibrator.model, calibrator.samples)
        tau = cls._tau(calibrator.model)
        return Calibrated({"sink_dims": dims, "tau": tau}, {"first_token_peak": peak})

    def layers(self, n_layers: int) -> range:
        """All but the first two, and in the paper but the last."""
        return range(2, n_layers - (self.params.variant == "paper"))

    def prefix_key(self) -> Any:
        """Which tokens are sinks, and where."""
        if self.prefix_depends_on == "method":
            return super().prefix_key()
        return self.name, self.params.sink_dims, self.params.tau, self.params.variant

    def hidden(self, at: At, hidden: Tensor) -> None:
        """Find the prompt's sinks, bool [B, Q]; generated tokens never become any."""
        assert self.params.sink_dims is not None and self.params.tau is not None
        at.remember(sink_tokens(hidden, self.params.sink_dims, self.params.tau))

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        """Redistribute in the rows asked for."""
        assert self.params.keep is not None
        return redistribute(
            weights,
            at.on_keys(at.remembered) & at.real,
            at.image_columns,
            at.rows,
            keep=self.params.keep,
            rho=self.params.rho,
            min_image_mass=self.params.min_image_mass,
            without_visual_sinks=self.params.variant == "paper",
        )
