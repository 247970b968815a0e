"""VAR: Visual Attention Redistribution.

Attention sinks (tokens with a few massive hidden dimensions) soak up attention that says nothing.
In heads that look at the image, VAR takes part of what all sinks receive and gives it to the image
tokens that are not sinks, in proportion to what they have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from halluc.interventions import Method, MethodCard, MethodParams, method
from halluc.interventions.requirements import needs_shared_rows

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.calibration import Handful
    from halluc.interventions import Site
    from halluc.models import VisionLanguageModel

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
        ),
    )

    noop = {"keep": 1.0}

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
        self.beginning = "nothing" if params.rows == "after_image" else "method"

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
            filled["tau"] = model.constants.tau
        if params.sink_dims is None:
            filled["sink_dims"] = model.constants.sink_dims
        return params.model_copy(update=filled)

    @classmethod
    def calibrate(cls, params: Params, handful: Handful) -> tuple[dict[str, Any], dict[str, Any]]:
        """Find the dimensions in which the first token is massive, and scale tau to the width."""
        found = handful.constants()
        return {"sink_dims": found.sink_dims, "tau": found.tau}, {"first_token_peak": found.peak}

    def layers(self, n_layers: int) -> range:
        """All but the first two, and in the paper but the last."""
        return range(2, n_layers - (self.params.variant == "paper"))

    def reading(self) -> Any:
        """Which tokens are sinks, and where."""
        if self.beginning == "method":
            return super().reading()
        return self.name, self.params.sink_dims, self.params.tau, self.params.variant

    def observe(self, site: Site, hidden: Tensor) -> Tensor:
        """Find the prompt's sinks, bool [B, Q]; generated tokens never become any."""
        assert self.params.sink_dims is not None and self.params.tau is not None
        return sink_tokens(hidden, self.params.sink_dims, self.params.tau)

    def weights(self, site: Site, attention: Tensor) -> Tensor:
        """Redistribute in the rows asked for."""
        assert self.params.keep is not None
        return redistribute(
            attention,
            site.on_keys(site.observed) & site.real,
            site.image_columns,
            site.rows,
            keep=self.params.keep,
            rho=self.params.rho,
            min_image_mass=self.params.min_image_mass,
            without_visual_sinks=self.params.variant == "paper",
        )
