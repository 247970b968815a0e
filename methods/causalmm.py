"""CausalMM: what attention causes, by counterfactual attention.

What the model would say if its vision tower, or its language model, attended to anything else is
what it says from habit. It is taken off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from halluc.interventions import Cost, Method, MethodCard, MethodParams, method
from halluc.interventions.contrast import implausible
from halluc.interventions.requirements import needs_cls, needs_one_feature_layer, needs_patch_tokens
from halluc.methods._counterfactuals import Kind, counterfactual, draws_for, feature_map
from halluc.methods._dropped_tokens import in_stream

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At, Batch
    from halluc.interventions.base import Inputs
    from halluc.models import VisionLanguageModel


@method("causalmm")
class CausalMM(Method):
    """Contrasts with streams whose attention was exchanged."""

    card = MethodCard(
        title="Mitigating Modality Prior-Induced Hallucinations in Multimodal Large Language "
        "Models via Deciphering Attention Causality",
        authors="Zhou et al.",
        year=2025,
        venue="ICLR",
        paper="arXiv:2410.04780",
        code="https://github.com/The-Martyr/CausalMM@6d1ae4e",
        licence="MIT",
        deviations=(
            "from the published code and its README; of the paper only the abstract was read",
            "attention weights are exchanged in all layers of the vision tower and of the language "
            "model, and rows sum to 1; the code for LLaVA multiplies the tower's features by the "
            "exchanged attention map of one layer instead (variant official_code)",
            "the code's counterfactual stream goes on from the main one's cache, so that only the "
            "first token is contrasted (variant official_code)",
            "gamma .5 and beta .1 are the code's functions'; its script for POPE passes 1 and .6 "
            "(variant official_code)",
            "code for LLaVA exchanges the tower's attention alone (variant official_code); that of "
            "the language model is described in the README, without shuffling and with rows that "
            "need not sum to 1",
            "shuffled weights change places within their row, in each head in an order of its own; "
            "the code shuffles all rows of a head together (variant official_code)",
            "what is drawn depends on the image or the sample, the code draws once a batch",
            "variant official_code runs two streams, not three",
        ),
        cost=Cost(token=3),
        needs=("a vision tower whose attention can be reached for each image apart",),
    )
    rows = "all"
    attention_in_tower = True
    hidden_phases = ()
    noop: ClassVar[dict[str, Any]] = {"gamma": 0.0, "beta": 0.0}

    class Params(MethodParams):
        """CausalMM's parameters; None takes the variant's."""

        variant: Literal["paper", "official_code"] = "paper"
        parts: Literal["both", "vision", "text"] | None = Field(None, description="exchanged in")
        vision: Kind = Field("shuffled", description="attention of the vision tower instead")
        text: Kind = Field("reversed", description="attention of the language model instead")
        gamma: float | None = Field(None, ge=0, description="strength of each contrast")
        beta: float | None = Field(None, ge=0, le=1, description="least share of the best token's")

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.names = ("vision", "text") if params.parts in ("both", None) else (params.parts,)
        self.attention_in_tower = "vision" in self.names
        self.in_vision_tower = self.attention_in_tower and params.variant == "official_code"
        self.resting = () if self.in_vision_tower else ("hidden",)

    @classmethod
    def requires(cls, params: Any, config: Any, model: str) -> None:
        """Refuse models whose features the published code could not multiply by a map."""
        if params.variant == "official_code" and params.parts != "text":
            needs_cls("causalmm", config, model)
            needs_patch_tokens("causalmm", config, model)
            needs_one_feature_layer("causalmm", config, model)

    @classmethod
    def resolve(cls, params: Any, model: VisionLanguageModel) -> Params:
        """Fill in parts, gamma and beta by variant."""
        filled: CausalMM.Params = params
        paper = filled.variant == "paper"
        own = {"parts": "both", "gamma": 0.5, "beta": 0.1}
        own = own if paper else {"parts": "vision", "gamma": 1.0, "beta": 0.6}
        missing = {name: value for name, value in own.items() if getattr(filled, name) is None}
        return filled.model_copy(update=missing)

    def layers(self, n_layers: int) -> range:
        """Return all layers of the language model, or none."""
        return range(n_layers if "text" in self.names else 0)

    def begin(self, batch: Batch) -> dict[str, Tensor]:
        """Start without a map of the vision tower's attention."""
        return {}

    def streams(self, batch: Batch, model: VisionLanguageModel) -> dict[str, Inputs]:
        """Read the same prompts by exchanged attention."""
        return dict.fromkeys(self.names, batch.inputs)

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        """Exchange attention: in the vision tower, or of the language model's stream."""
        code = at.part == "vision" and self.params.variant == "official_code"
        name = "vision" if at.part == "vision" else "text"
        mine = in_stream(at, name).nonzero()[:, 0]
        if (
            name not in self.names
            or not len(mine)
            or (code and at.layer != at.model.tower.features)
        ):
            return weights
        kind: Kind = getattr(self.params, name)
        own = weights[mine]
        draws = draws_for(at, mine, own, kind, whole=code)
        if code:
            at.state["map"] = feature_map(kind, own, draws)
            return weights
        assert at.visible is not None
        visible = (at.visible if len(at.visible) == 1 else at.visible[mine])[:, None]
        return weights.index_copy(0, mine, counterfactual(kind, own, visible, draws))

    def hidden(self, at: At, hidden: Tensor) -> Tensor | None:
        """Multiply the features that the language model reads by the map, as the code does."""
        mine = in_stream(at, "vision").nonzero()[:, 0]
        if at.layer != at.model.tower.features + 1 or not len(mine):
            return None
        factor = hidden.new_ones(hidden.shape[:2])
        factor[mine, 1:] = at.state["map"].to(factor)
        return hidden * factor[:, :, None]

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        """Move away from each other stream: l + gamma sum (l - l')."""
        gamma, main = self.params.gamma or 0.0, logits["main"]
        at.forbid(implausible(main, self.params.beta or 0.0))
        if self.params.variant == "official_code" and at.step:
            return main
        apart = [main - logits[name] for name in self.names]
        return main + gamma * sum(apart[1:], apart[0])
