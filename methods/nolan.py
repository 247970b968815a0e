"""NoLan: No-Language-Hallucination Decoding.

The closer what a model says with the image is to what it says without, the more its language prior
speaks, and the further NoLan moves away from the latter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from halluc.interventions import Cost, MethodCard, TwoStreams, method
from halluc.interventions.contrast import contrasted

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At, Batch
    from halluc.interventions.base import Inputs
    from halluc.models import VisionLanguageModel

Variant = Literal["paper", "official_code"]

_ADDED = 1e-10


def divergence(seen: Tensor, blind: Tensor, variant: Variant = "paper") -> Tensor:
    """Measure how far two distributions lie apart: (KL(p || q) + KL(q || p)) / 2, in nats.

    The code adds 1e-10 to all probabilities first (nolan_sample.py:121), so that a token that one
    side all but excludes counts less.

    Args:
        seen, blind: Logits or log-probabilities [B, V].

    Returns:
        [B, 1].
    """
    p, q = seen.log_softmax(-1), blind.log_softmax(-1)
    if variant == "official_code":
        p, q = (p.exp() + _ADDED).log(), (q.exp() + _ADDED).log()
    apart = (p.exp() - q.exp()) * (p - q)
    apart = apart.where(p.isfinite() & q.isfinite(), 0.0)  # ruled out by the checkpoint in both
    return apart.sum(-1, keepdim=True).clamp(min=0) / 2


def suppression(apart: Tensor) -> Tensor:
    """Give tanh(1 / g) + 1: 2 where the streams agree, 1 where they are far apart (README).

    Args:
        apart: g, any shape; 0 gives 2.
    """
    return (1 / apart).tanh() + 1


@method("nolan")
class NoLan(TwoStreams):
    """Contrasts the prompt with itself without the image, more where both agree."""

    card = MethodCard(
        title="NoLan: Mitigating Object Hallucinations in Large Vision-Language Models via Dynamic "
        "Suppression of Language Priors",
        authors="Ren et al.",
        year=2026,
        venue="arXiv",
        paper="arXiv:2602.22144",
        code="https://github.com/lingfengren/NoLan@8b6d925",
        licence="Apache-2.0",
        deviations=(
            "formulas are those of the repository's README; the paper was not read",
            "alpha 0.8 is the paper's beta as the code sets it; dynamic=false with alpha 1 is the "
            "simpler method of fixed strength that the README names",
            "the code takes a cut-off (its script passes 0.9) and never applies it; beta is 0",
            "variant official_code adds 1e-10 to probabilities before they are compared; variant "
            "paper does not",
            "the code stops with an error where both distributions are equal; here the strength is "
            "twice alpha there, its limit",
            "marks around the image and the line break behind it stay in the prompt without it; "
            "the code's prompt never had them",
            "decoding is the run's own, greedy by default; the code replaces sampling only",
        ),
        cost=Cost(token=2),
    )
    other: ClassVar[str] = "blind"
    noop: ClassVar[dict[str, Any]] = {"alpha": 0.0}

    class Params(TwoStreams.Params):
        """NoLan's parameters."""

        variant: Variant = "paper"
        alpha: float = Field(0.8, ge=0, description="strength where the streams are far apart")
        beta: float = Field(0.0, ge=0, le=1, description="least share of the best token's chance")
        dynamic: bool = Field(True, description="up to twice as strong where the streams agree")

    params: Params

    def view(self, batch: Batch, model: VisionLanguageModel) -> Inputs:
        """Ask the same without the image."""
        return model.without_image(batch.inputs)

    def join(self, at: At, main: Tensor, other: Tensor) -> Tensor:
        """Give (1 + a) l_m - a l_u, where a = alpha (tanh(1 / g) + 1) of each row."""
        if not self.params.dynamic:
            return contrasted(main, other, self.params.alpha)
        strength = suppression(divergence(main, other, self.params.variant))
        return contrasted(main, other, self.params.alpha * strength)
