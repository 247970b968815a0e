"""PBA: Prompt-Based Adjustment, a control that asks the model to say yes.

It knows nothing of the image. What a method gains on a balanced yes/no benchmark by leaning towards
one answer, this gains, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from halluc.interventions import Method, MethodCard, MethodParams, method

if TYPE_CHECKING:
    from halluc.interventions import Batch
    from halluc.models import VisionLanguageModel

HINTS = {
    "paper": " Whenever possible, please select Yes.",
    "official_code": " Answer yes whenever possible.",
}
"""As README quotes the hint, and as the script has it (inference/pope_infer_pba.py:51)."""


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
            "quotes others as an example (variant paper), and the paper could not be read",
            "only the hint is added; the sentence before it in the script, which asks for a single "
            "word or phrase, is in the baseline's prompt, too, and is the benchmark's to write",
            "the hint is added to every prompt, to those that ask for no yes or no, too",
        ),
    )
    prefix_depends_on = "nothing"
    noop = {"text": ""}

    class Params(MethodParams):
        """PBA's parameters."""

        variant: Literal["paper", "official_code"] = "official_code"
        text: str | None = Field(None, description="what is added; None: the variant's words")

    params: Params

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Fill in the words by variant."""
        text = HINTS[params.variant] if params.text is None else params.text
        return params.model_copy(update={"text": text})

    def prompt(self, batch: Batch) -> Batch:
        """End the user's turns with the hint; earlier turns stay."""
        assert self.params.text is not None
        return replace(batch, prompts=[prompt + self.params.text for prompt in batch.prompts])
