"""M3ID: Multi-Modal Mutual-Information Decoding.

The longer an answer gets, the more a model goes by its own words and the less by the image; with
every token, M3ID moves further away from what is said without the image.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from halluc.interventions import Cost, MethodCard, TwoStreams, method

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At, Batch
    from halluc.interventions.base import Inputs
    from halluc.models import VisionLanguageModel

_MOST = 60.0
"""Where the exponent stops, so that corrections stay finite in fp32."""


def forgetting(token: int, decay: float) -> float:
    """Give the weight of the correction: (1 - g) / g, g = exp(-decay t) (avisc_sample.py:249, 268).

    Args:
        token: t, the number of the token that is chosen, from 1.
        decay: lambda, how fast the image is forgotten, per token.
    """
    kept = exp(-min(decay * token, _MOST))
    return (1 - kept) / kept


@method("m3id")
class M3ID(TwoStreams):
    """Contrasts the prompt with itself without the image, more with every token."""

    card = MethodCard(
        title="Multi-Modal Hallucination Control by Visual Information Grounding",
        authors="Favero et al.",
        year=2024,
        venue="CVPR",
        paper="arXiv:2403.14003",
        code="https://github.com/sangminwoo/AvisC@772eba4",
        licence="MIT",
        deviations=(
            "the authors published no code; formula and defaults are those of AvisC's authors, who "
            "compare with it, and the paper was not read",
            "the paper is said to correct only where no token is more probable than a threshold, "
            "which AvisC's code leaves out; gate sets it, and is 1 (always)",
            "the cut-off beta is AvisC's, too",
            "marks around the image and the line break behind it stay in the prompt without it",
            "decoding is the run's own, greedy by default; AvisC's code replaces sampling only",
        ),
        cost=Cost(token=2),
    )
    other: ClassVar[str] = "blind"

    class Params(TwoStreams.Params):
        """M3ID's parameters."""

        alpha: float = Field(1.0, ge=0, description="factor on the correction; 1 is published")
        decay: float = Field(0.02, ge=0, le=1, description="share of the image forgotten a token")
        gate: float = Field(1.0, ge=0, le=1, description="greatest chance still corrected")

    params: Params

    def view(self, batch: Batch, model: VisionLanguageModel) -> Inputs:
        """Ask the same without the image."""
        return model.without_image(batch.inputs)

    def join(self, at: At, main: Tensor, other: Tensor) -> Tensor:
        """Give l_c + (1 - g_t) / g_t (l_c - l_u) of log-probabilities, where no token is sure.

        The first l_c may be the logits, which differ by a constant of each row.
        """
        seen, blind = main.log_softmax(-1), other.log_softmax(-1)
        unsure = seen.amax(-1, keepdim=True).exp() <= self.params.gate
        weight = self.params.alpha * forgetting(at.step + 1, self.params.decay)
        return main + weight * unsure * (seen - blind)
