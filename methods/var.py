"""VAR: Visual Attention Redistribution.

Attention sinks (tokens with a few massive hidden dimensions) draw attention that says nothing. In
heads that look at the image, VAR takes part of the sinks' attention and gives it to the image
tokens that are not sinks, in proportion to their weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from halluc.errors import UserError
from halluc.interventions import Calibrated, Method, MethodCard, MethodParams, method
from halluc.interventions.requirements import needs_shared_rows
from halluc.methods._sinks import (
    TAU,
    measured_sinks,
    published_sinks,
    redistribute,
    sink_tokens,
)

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.calibration import Calibrator
    from halluc.interventions import At
    from halluc.models import VisionLanguageModel


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
        licence="Apache-2.0",
        deviations=(
            "paper moves 60% of the sinks' attention (keep 0.4), the code 40% (keep 0.6)",
            "paper leaves the last layer alone, the code edits it; both leave the first two alone",
            "paper's rule edits heads when the image holds no sink, the code does not",
            "the code's stale state across samples (sink positions of the first sample) is not "
            "reproduced; rows=all edits image rows too, as the code does from its second sample on",
            "the code looks for LLaMA-2-7B's sink dimensions in 13B models, too, and finds hardly "
            "any there (variant official_code)",
            "the threshold 0.5 for rho is the paper's for hallucination benchmarks",
            "sink dimensions are published for LLaMA-2-7B and 13B and Qwen2-VL-7B; for any other "
            "language model they are measured: the one or two in which tokens are massive in the "
            "middle layer (|x_d| / rms(x) of at least .6 sqrt(D), which is the most there can be), "
            "with tau in the middle of the gap between those tokens and all others",
            "the code ran LLaVA-1.5 with Vicuna's system prompt, which the checkpoint's template "
            "on the hub leaves out: --model-args system_prompt=vicuna",
        ),
        needs=("image tokens in the prompt",),
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
        """Refuse a model without image tokens in its prompt."""
        needs_shared_rows("var", config, model)

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Fill in keep by variant, and sink dimensions and tau by model."""
        filled: dict[str, Any] = {}
        if params.keep is None:
            filled["keep"] = 0.4 if params.variant == "paper" else 0.6
        if params.tau is None or params.sink_dims is None:
            known = published_sinks(model.model.config, params.variant)
            dims, tau = (known, TAU) if known else measured_sinks(model)[:2]
            filled |= {"tau": params.tau or tau, "sink_dims": params.sink_dims or dims}
        width = model.model.config.get_text_config().hidden_size
        for dim in params.sink_dims or ():
            if not 0 <= dim < width:
                raise UserError(
                    f"method 'var': sink_dims names dimension {dim}; the residual stream of "
                    f"{model.name!r} has dimensions 0 to {width - 1}"
                )
        return params.model_copy(update=filled)

    @classmethod
    def calibrate(cls, params: Params, calibrator: Calibrator) -> Calibrated:
        """Find the dimensions in which tokens are massive, and the threshold that tells them.

        Raises:
            UserError: If they are published for the checkpoint, and measuring was not asked for.
        """
        if published_sinks(calibrator.model.model.config) and not calibrator.recalibrate:
            raise UserError(
                f"{calibrator.model.name}: VAR's sink dimensions are published; --recalibrate "
                "measures them again"
            )
        found = measured_sinks(calibrator.model, calibrator.samples)
        measured = {"peak": found.peak, "share_of_tokens": found.share}
        return Calibrated({"sink_dims": found.dims, "tau": found.tau}, measured)

    def layers(self, n_layers: int) -> range:
        """Return all layers but the first two; variant paper leaves out the last one too."""
        return range(2, n_layers - (self.params.variant == "paper"))

    def prefix_key(self) -> Any:
        """Return what decides which tokens are sinks, and in which layers they are found."""
        if self.prefix_depends_on == "method":
            return super().prefix_key()
        return self.name, self.params.sink_dims, self.params.tau, self.params.variant

    def hidden(self, at: At, hidden: Tensor) -> None:
        """Find the prompt's sinks, bool [B, Q]; generated tokens never count as sinks."""
        assert self.params.sink_dims is not None and self.params.tau is not None
        at.remember(sink_tokens(hidden, self.params.sink_dims, self.params.tau))

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        """Redistribute attention in the rows that `rows` names."""
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
