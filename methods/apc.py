"""APC: the Adaptive Plausibility Constraint alone, a control.

Contrastive methods cut implausible tokens before they choose; this is the cut without a contrast.
Greedy decoding with it is greedy decoding, so that it tells what of a sampled gain is the cut's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from halluc.interventions import Method, MethodCard, MethodParams, method
from halluc.interventions.contrast import implausible

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At


@method("apc")
class APC(Method):
    """Rules out tokens less probable than a fifth of the likeliest one."""

    card = MethodCard(
        title="The Mirage of Performance Gains: Why Contrastive Decoding Fails to Mitigate Object "
        "Hallucinations in MLLMs?",
        authors="Yin et al.",
        year=2025,
        venue="arXiv",
        paper="arXiv:2504.10020",
        code="https://github.com/ustc-hyin/cd_rethink@4303279",
        licence="Apache-2.0",
        deviations=(
            "the code gets the model's logits as 2 l - l of two passes over the same prompt; we "
            "run one",
            "the code replaces sampling only; here beams lose implausible tokens, too, and greedy "
            "decoding is the baseline's, as it must be",
            "behind a method that makes logits of its own the cut is set on these, not on the "
            "model's",
            "0.2 is the code's; the paper's tables could not be read",
        ),
    )
    filters = True
    prefix_depends_on = "nothing"
    noop = {"beta": 0.0}

    class Params(MethodParams):
        """APC's parameter."""

        beta: float = Field(0.2, ge=0, le=1, description="least share of the best token's chance")

    params: Params

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        """Rule out p < beta max p, before temperature (cd_rethink: spurious_utils/apc_utils.py)."""
        at.forbid(implausible(logits["main"], self.params.beta))
        return logits["main"]
