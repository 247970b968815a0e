"""DAMRO: Dive into the Attention Mechanism to Reduce Object Hallucination.

A few patches draw most of what the vision tower's CLS token attends to, and most of the language
model's attention with it. Another stream sees these patches alone; what it leads to is taken off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from halluc.errors import UserError
from halluc.interventions import Cost, MethodCard, method
from halluc.interventions.requirements import needs_cls, needs_patch_tokens
from halluc.interventions.two_streams import TwoStreams
from halluc.methods._dropped_tokens import away, in_stream, smallest

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At, Batch
    from halluc.interventions.base import Inputs
    from halluc.models import VisionLanguageModel

_KEPT, _TOKENS = 10, 576  # the published code's, of LLaVA-1.5
_TINY = 1e-38


def outliers(attention: Tensor, share: float, one_head: bool) -> Tensor:
    """Mark the patches that the CLS token attends to most.

    On average over heads. As one head over the full width, softmax(q k^T / sqrt(C)), as the code
    has it, the logits of the H heads add up to sqrt(H) times the logits, so that the order is that
    of the products of their weights (DAMRO: modeling_llava.py:453-462).

    Args:
        attention: Weights of each patch in each head [N, H]; 0 at tokens that are no patch.
        share: Of the N, at least one.
        one_head: Take the heads together.

    Returns:
        bool [N].
    """
    score = attention.clamp(min=_TINY).log().sum(-1) if one_head else attention.mean(-1)
    return smallest(-score[None], (score == score)[None], share)[0]


@method("damro")
class DAMRO(TwoStreams):
    """Contrasts with a stream that sees the vision tower's outlier tokens alone."""

    card = MethodCard(
        title="DAMRO: Dive into the Attention Mechanism of LVLM to Reduce Object Hallucination",
        authors="Gong et al.",
        year=2024,
        venue="EMNLP",
        paper="arXiv:2410.04514",
        code="https://github.com/coder-gx/DAMRO@03008ac",
        licence="MIT (said in README)",
        deviations=(
            "from the published code; of the paper only the abstract was read",
            "attention is averaged over the tower's heads; the code computes it as one head over "
            "the full width, which the tower does not have (variant official_code)",
            "tokens out of sight stay in their places; the code removes them, so that what follows "
            "moves up",
            "10 of 576 tokens are a share of other numbers of image tokens, at least one",
            "with tiles (LLaVA-NeXT) tokens are chosen among those of all tiles of an image, with "
            "that share of them all; the code chooses 10 in each tile",
            "the code also serves InstructBLIP, where it drops patches in front of the Q-Former (4 "
            "of them stay); models with learned queries are refused here",
            "alpha 2 is the code's for LLaVA; its scripts for InstructBLIP ran 0.5 and 1.5",
        ),
        cost=Cost(token=2),
        needs=("a CLS token in the vision tower", "a token a patch"),
    )
    prefix_depends_on = "question"

    class Params(TwoStreams.Params):
        """DAMRO's parameters; None takes what fits the model."""

        variant: Literal["paper", "official_code"] = "paper"
        alpha: float = Field(2.0, ge=0, description="strength of the contrast")
        share: float = Field(_KEPT / _TOKENS, gt=0, le=1, description="of image tokens in sight")
        vision_layer: int | None = Field(
            None, lt=0, description="layer of the tower, from the end; None: the features'"
        )

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.vision_layers = () if params.vision_layer is None else (params.vision_layer,)

    @classmethod
    def requires(cls, params: Any, config: Any, model: str) -> None:
        """Refuse a model without a CLS token, or with image tokens other than patches."""
        needs_cls("damro", config, model)
        needs_patch_tokens("damro", config, model)

    @classmethod
    def resolve(cls, params: Any, model: VisionLanguageModel) -> Params:
        """Fill in the layer whose features the language model reads.

        Raises:
            UserError: If it reads several, and none is named, or the tower lacks the layer named.
        """
        filled: DAMRO.Params = params
        depth, layer = len(model.tower.layers), filled.vision_layer
        if layer is None:
            if not isinstance(getattr(model.model.config, "vision_feature_layer", None), int):
                raise UserError(
                    f"method 'damro' reads the layer of the vision tower that the language model "
                    f"does, and {model.name!r} does not read exactly one; set vision_layer"
                )
            layer = model.tower.features - depth
        if layer < -depth:
            raise UserError(
                f"method 'damro': vision_layer {layer} is not one of the {depth} layers of the "
                f"vision tower of {model.name!r}: -{depth} to -1"
            )
        return filled.model_copy(update={"vision_layer": layer})

    def begin(self, batch: Batch) -> dict[str, Tensor]:
        """Start without the prompt's tokens out of sight, bool [rows, L]."""
        return {}

    def view(self, batch: Batch, model: VisionLanguageModel) -> Inputs:
        """Read the same prompts."""
        return batch.inputs

    def attention_bias(self, at: At) -> Tensor:
        """Take all image tokens but the outliers out of the other stream's sight."""
        if not at.state:
            at.state["gone"] = self._gone(at)
        return away(at.on_keys(at.state["gone"]))

    def _gone(self, at: At) -> Tensor:
        image = at.tokens.image_mask
        (seen,) = (at.memory.vision_attention[layer] for layer in self.vision_layers)
        gone, rows = image.clone(), image.any(1).nonzero()[:, 0].tolist()
        for row, attention in zip(rows, seen, strict=True):
            one_head = self.params.variant == "official_code"
            gone[row, image[row]] = ~outliers(attention, self.params.share, one_head)
        return gone & in_stream(at, self.other)[:: at.repeats, None]
