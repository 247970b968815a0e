"""PBA: Prompt-Based Adjustment, a control that asks the model to say yes.

It knows nothing of the image. What a method gains on a balanced yes/no benchmark by leaning towards
one answer, this gains, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from halluc.interventions import Method, MethodCard, MethodParams, method

if TYPE_CHECKING:
    from halluc.interventions import Batch

HINT = " Answer yes whenever possible."
"""As the published script has it (inference/pope_infer_pba.py:51)."""


@method("pba")
class PBA(Method):
    """Ends each question with a hint to answer yes."""

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
            "the words are those of the published script, which ran; the repository's README "
            "quotes others as an example, and the paper's own could not be read",
            "only the hint is added; the sentence before it in the script, which asks for a single "
            "word or phrase, is in the baseline's prompt, too, and is the benchmark's to write",
            "the hint is added to every prompt, to those that ask for no yes or no, too",
        ),
    )
    prefix_depends_on = "nothing"
    noop = {"text": ""}

    class Params(MethodParams):
        """PBA's parameters."""

        text: str = Field(HINT, description="what is added")

    params: Params

    def prompt(self, batch: Batch) -> Batch:
        """End the user's turns with the hint; earlier turns stay."""
        return replace(batch, prompts=[prompt + self.params.text for prompt in batch.prompts])
