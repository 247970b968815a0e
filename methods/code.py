"""CODE: Countering Description Contrastive Decoding.

The model first describes the image. Next to the prompt it is asked the same with the description in
the image's place, and what that leads to is taken off: less, and from fewer tokens, the more the
two disagree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from halluc.interventions import Cost, MethodCard, TwoStreams, method
from halluc.interventions.contrast import contrasted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from halluc.interventions import At, Batch
    from halluc.interventions.base import Inputs
    from halluc.models import VisionLanguageModel

PROMPT = (
    "Provide a detailed description of the image, covering all visible elements and their "
    "interactions, so as to thoroughly answer any potential questions about the image."
)
"""As the code asks (models/llava-model-hf.py)."""

_MOST = 512


def bounded_divergence(main: Tensor, other: Tensor, power: float) -> Tensor:
    """Measure how far two distributions lie apart, from 0 (equal) to 1 (nothing in common).

    D = sum (p + p') log2(|p - p'|^power + 1) / 2 (cd_utils.py:12).

    Args:
        main, other: Logits or log-probabilities [B, V].

    Returns:
        [B, 1].
    """
    p, q = main.softmax(-1), other.softmax(-1)
    apart = (p + q) * ((p - q).abs() ** power + 1).log2()
    return apart.sum(-1, keepdim=True) / 2


def described(model: VisionLanguageModel, inputs: Inputs, texts: Sequence[str]) -> Inputs:
    """Put a text in the place of each prompt's image.

    Args:
        inputs: As encoded, an image in each row.
        texts: One for each row.
    """
    import torch

    from halluc.models.inputs import PER_TOKEN

    rows: list[dict[str, Tensor]] = []
    for row, text in enumerate(texts):
        tokens = model.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        image = inputs["input_ids"][row] == model.image_token
        behind = int(image.nonzero().max()) + 1
        whole: dict[str, Tensor] = {}
        for key in PER_TOKEN:
            if key in inputs:
                value = inputs[key][row]
                filled = {"input_ids": tokens, "attention_mask": [1] * len(tokens)}
                new = value.new_zeros(len(tokens), *value.shape[1:])
                if key in filled:
                    new = value.new_tensor(filled[key])
                parts = [value[:behind], new, value[behind:]]
                whole[key] = torch.cat(parts)[None]
        rows.append(whole)
    return model.without_image({**inputs, **model.stacked(*rows)})


@method("code")
class CODE(TwoStreams):
    """Contrasts the image with the model's own description of it."""

    card = MethodCard(
        title="CODE: Contrasting Self-generated Description to Combat Hallucination in Large "
        "Multi-modal Models",
        authors="Kim et al.",
        year=2024,
        venue="NeurIPS",
        paper="arXiv:2406.01920",
        code="https://github.com/IVY-LVLM/CODE@31adf82",
        licence="MIT",
        deviations=(
            "power 0.7 is the default of the code's command line, which its function, whose own is "
            "0.2, never sees otherwise; the paper was not read",
            "the description has at most 512 tokens, as in the code, or a quarter of the model's "
            "positions where that is less",
            "the image is described once for all questions about it in a batch",
            "the code's tokenizer puts a start token in front of the description; here is none",
            "marks that a model has around images or their tiles stay around the description",
            "the embedded models are asked as they were trained to describe, as they understand no "
            "other words for it",
            "alpha and beta scale strength and cut-off, and are 1, as published",
        ),
        cost=Cost(token=2, prompt=None),
    )
    other: ClassVar[str] = "described"

    class Params(TwoStreams.Params):
        """CODE's parameters."""

        alpha: float = Field(1.0, ge=0, description="factor on the strength 1 - D")
        beta: float = Field(1.0, ge=0, le=1, description="factor on the cut-off D")
        power: float = Field(0.7, gt=0, description="of differences of chances, in D")
        max_new_tokens: int | None = Field(None, ge=1, description="of a description")
        prompt: str | None = Field(
            None, min_length=1, description="asks for it; None: as published"
        )

    params: Params

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Limit descriptions by the model's positions; ask in words that the model understands."""
        from halluc.models.names import description_prompt

        text = model.model.config.get_text_config()
        room = getattr(text, "max_position_embeddings", None) or 4 * _MOST
        most = params.max_new_tokens or min(_MOST, room // 4)
        prompt = params.prompt or description_prompt(model.name, PROMPT)
        return params.model_copy(update={"max_new_tokens": most, "prompt": prompt})

    def view(self, batch: Batch, model: VisionLanguageModel) -> Inputs:
        """Ask the same with the model's own description of each image in the image's place."""
        assert self.params.max_new_tokens is not None and self.params.prompt is not None
        about: dict[str, int] = {}
        for row, image in enumerate(batch.image_hashes):
            about.setdefault(image, row)
        asked = [(row, self.params.prompt) for row in about.values()]
        said = batch.ask(asked, max_new_tokens=self.params.max_new_tokens)
        texts = dict(zip(about, said, strict=True))
        return described(model, batch.inputs, [texts[image] for image in batch.image_hashes])

    def join(self, at: At, main: Tensor, other: Tensor) -> Tensor:
        """Give l + (1 - D) (l - l'): the more both agree, the stronger (cd_utils.py:14, 19)."""
        apart = bounded_divergence(main, other, self.params.power)
        return contrasted(main, other, self.params.alpha * (1 - apart))

    def rule_out(self, main: Tensor, other: Tensor) -> Tensor:
        """Mark p < D max p: the more both disagree, the more is cut (cd_utils.py:16, 20)."""
        chances = main.softmax(-1)
        share = self.params.beta * bounded_divergence(main, other, self.params.power)
        return chances < share * chances.amax(-1, keepdim=True)
