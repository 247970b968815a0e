"""ProjectAway: objects that a draft names and image tokens do not show are taken out of them.

What the model names in a first answer without being sure of it inside is subtracted from the
image's hidden states before it answers again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from halluc.data.coco_names import COCO_NAMES
from halluc.errors import UserError
from halluc.interventions import Cost, Method, MethodCard, MethodParams, method
from halluc.interventions.requirements import needs_early_logits, needs_shared_rows
from halluc.methods._early import of_32
from halluc.methods._object_lens import Objects, erased

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At, Batch
    from halluc.interventions.base import Forward, Inputs
    from halluc.models import VisionLanguageModel

TOP_K = 50  # in the code: of how many of the likeliest tokens an image token has a chance


@dataclass
class Erasure:
    """What is known of a batch.

    Attributes:
        named: The objects that each prompt's draft names.
        sure: By row, how sure image tokens are of each, while a pass of our own reads them.
        gone: The objects to take out, by row.
    """

    named: list[list[str]] = field(default_factory=list)
    sure: dict[int, dict[str, float]] | None = None
    gone: list[list[str]] = field(default_factory=list)


@method("projectaway")
class ProjectAway(Method):
    """Answers twice; takes what the first answer named without confidence out of the image."""

    card = MethodCard(
        title="Interpreting and Editing Vision-Language Representations to Mitigate Hallucinations",
        authors="Jiang, Kachinthaya, Petryk and Gandelsman",
        year=2025,
        venue="ICLR",
        paper="arXiv:2410.02762",
        code="https://github.com/nickjiang2378/vl-interp@5cd5a3c",
        licence="CC0-1.0",
        deviations=(
            "of the paper the abstract was read; the code has no script that chooses what goes: "
            "that a draft's objects below a threshold do is our reading, and 0.1 is ours",
            "layers (hidden states 1 and 3 of 32, by depth) and weight are the demonstration's",
            "COCO's categories are looked for, and stand for the caption's words",
            "the code gives a chance to the 50 likeliest tokens only (variant official_code)",
            "drafts are greedy, of 128 tokens at most; the code uses 5 beams and 512 tokens",
            "an answer that names no object, such as yes, is answered again as it was",
        ),
        cost=Cost(token=1, prompt=None),
        needs=("image tokens in the prompt", "logits of a vocabulary head on a normed state"),
    )
    prefix_depends_on = "question"
    hidden_phases = ("prefill",)
    noop = {"weight": 0.0}

    class Params(MethodParams):
        """ProjectAway's parameters; None takes what fits the model's depth."""

        variant: Literal["paper", "official_code"] = "paper"
        weight: float = Field(1.5, ge=0, description="factor on projections (alpha)")
        threshold: float = Field(0.1, ge=0, le=1, description="confidence below which they go")
        text_layer: int | None = Field(None, ge=0, description="hidden state of names (l_T)")
        image_layer: int | None = Field(None, ge=0, description="hidden state edited (l_I)")
        draft: str | None = Field(None, description="prompt of drafts; None: the sample's own")
        draft_tokens: int = Field(128, ge=1, description="where drafts are cut")
        objects: tuple[str, ...] = Field(COCO_NAMES, description="categories that are looked for")

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.objects = Objects(params.objects)

    @classmethod
    def requires(cls, params: Any, config: Any, model: str) -> None:
        """Refuse models whose prompts hold no image tokens."""
        needs_shared_rows("projectaway", config, model)

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Fill in the layers by depth, or check those given."""
        needs_early_logits("projectaway", model)
        filled = {}
        for name, published in {"text_layer": 1, "image_layer": 3}.items():
            given = getattr(params, name)
            filled[name] = max(1, of_32(published, model.n_layers)) if given is None else given
            if filled[name] >= model.n_layers:
                has = f"{model.name!r} has 0 to {model.n_layers - 1} before its last"
                raise UserError(f"method 'projectaway': {name} names hidden state {given}; {has}")
        return params.model_copy(update=filled)

    def load(self, model: VisionLanguageModel) -> None:
        """Read each object's tokens and its text's state."""
        assert self.params.text_layer is not None
        self.objects.load(model, self.params.text_layer)

    def layers(self, n_layers: int) -> range:
        """All layers, whose image tokens are read; one of them is edited."""
        return range(n_layers + 1)

    def begin(self, batch: Batch) -> Erasure:
        """Ask for drafts, and note what they name."""
        p = self.params
        if not p.weight:
            return Erasure()
        asked = [(row, p.draft or prompt) for row, prompt in enumerate(batch.prompts)]
        return Erasure([self.objects.named(one) for one in batch.ask(asked, p.draft_tokens)])

    def prepare(self, at: At, inputs: Inputs, forward: Forward) -> None:
        """See how sure image tokens are of what the drafts name."""
        state: Erasure = at.state
        if not any(state.named):
            return
        state.sure = {}
        forward(inputs)
        found = [state.sure.get(row, {}) for row in range(at.tokens.size)]
        least, state.sure = self.params.threshold, None
        state.gone = [[name for name, c in sure.items() if c < least] for sure in found]

    def hidden(self, at: At, hidden: Tensor) -> Tensor | None:
        """Read each layer's image tokens, or edit those of one."""
        state: Erasure = at.state
        if state.sure is not None:
            of = None if self.params.variant == "paper" else TOP_K
            self.objects.look(at, hidden, state.named, state.sure, of)
        elif at.layer == self.params.image_layer and any(state.gone):
            edited, image = hidden.clone(), at.image_mask
            for row in range(len(hidden)):  # beams stand next to each other
                texts = [self.objects.texts[name] for name in state.gone[row // at.repeats]]
                edited[row, image[row]] = erased(hidden[row, image[row]], texts, self.params.weight)
            return edited
        return None
