"""ICD: Instruction Contrastive Decoding.

The same image and question are also given to the model under an instruction that disturbs it; what
that leads to is taken off.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from halluc.errors import UserError
from halluc.interventions import Cost, MethodCard, TwoStreams, method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from halluc.interventions import Batch
    from halluc.interventions.base import Inputs
    from halluc.models import VisionLanguageModel

CONFUSED = (
    "You are a confused objects detector to provide a fuzzy overview or impression of the image."
)
"""The fourth of the five instructions that the published scripts try in turn."""

_QUERIES = ("qformer_input_ids", "qformer_attention_mask")


def disturbed(
    model: VisionLanguageModel,
    prompt: str,
    history: Sequence[tuple[str, str]],
    instruction: str,
) -> str:
    """Render a prompt under an instruction: as the system's turn, or in front of the first turn.

    Args:
        history: Earlier turns, prompt and answer each.
    """
    from jinja2 import TemplateError

    told: VisionLanguageModel = replace(model, system_prompt=instruction)
    try:
        return told.render(prompt, history)
    except (UserError, TemplateError):  # the template has no place for it, or raises itself
        turns = [*history, (prompt, "")]
        first, answer = turns[0]
        *earlier, (last, _) = [(f"{instruction} {first}", answer), *turns[1:]]
        return model.render(last, earlier)


@method("icd")
class ICD(TwoStreams):
    """Contrasts the prompt with itself under an instruction to be vague."""

    card = MethodCard(
        title="Mitigating Hallucinations in Large Vision-Language Models with Instruction "
        "Contrastive Decoding",
        authors="Wang et al.",
        year=2024,
        venue="Findings of ACL",
        paper="arXiv:2403.18715",
        code="https://github.com/p1k0pan/ICD@2fa44c5",
        licence="Apache-2.0",
        deviations=(
            "the code puts the instruction in place of LLaVA's system prompt; here it is the "
            "system's turn where the model's chat template takes one, and stands in front of the "
            "question where it does not",
            "a model with a Q-Former that reads text is given the instruction there alone, in "
            "place of the question; the code also tries instruction and question",
            "the code's scripts try five instructions in turn; this is the one the paper is said "
            "to report, which was not read",
            "the code ran LLaVA-1.5 with Vicuna's system prompt: --model-args system_prompt=vicuna",
            "decoding is the run's own, greedy by default; the code replaces sampling only",
        ),
        cost=Cost(token=2),
    )
    other: ClassVar[str] = "disturbed"

    class Params(TwoStreams.Params):
        """ICD's parameters."""

        instruction: str = Field(CONFUSED, min_length=1, description="what disturbs the model")

    params: Params

    def view(self, batch: Batch, model: VisionLanguageModel) -> Inputs:
        """Ask the same under the instruction."""
        told = self.params.instruction
        if _QUERIES[0] in batch.inputs:
            # The processor tokenizes the bare instruction for both; the Q-Former's part is kept.
            read = model.encode([told] * batch.size, batch.images)
            return {**batch.inputs, **{key: read[key] for key in _QUERIES}}
        turns = zip(batch.prompts, batch.histories, strict=True)
        rendered = [disturbed(model, prompt, history, told) for prompt, history in turns]
        return model.encode(rendered, batch.images)
