"""VISTA: visual information steering with token-logit augmentation.

States move towards what the image changes in the prompt's last token, and what layers just before
the last one say is mixed into the next token's logits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from halluc.errors import UserError
from halluc.interventions import Cost, Method, MethodCard, MethodParams, method
from halluc.methods._early import needs_hidden_states, of_32
from halluc.methods._steering import pulled, turned_further

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At, Batch
    from halluc.interventions.base import Forward, Inputs
    from halluc.models import VisionLanguageModel


@dataclass
class Steering:
    """What is known of a batch.

    Attributes:
        reading: The last token's state behind each layer [B, D], while passes of our own read it.
        vectors: By layer, what the image changes in it [B, D]; none steer before they are known.
    """

    reading: dict[int, Tensor] | None = None
    vectors: dict[int, Tensor] = field(default_factory=dict)


@method("vista")
class VISTA(Method):
    """Steers all layers by the image's own vector, and listens to the layers before the last."""

    card = MethodCard(
        title="The Hidden Life of Tokens: Reducing Hallucination of Large Vision-Language Models "
        "via Visual Information Steering",
        authors="Li et al.",
        year=2025,
        venue="ICML",
        paper="arXiv:2502.03628",
        code="https://github.com/LzVv123456/VISTA@dc62252",
        licence="MIT",
        deviations=(
            "the paper was not read; variant paper has its formulas at second hand: the residual "
            "stream moves by lambda times the vector, and 5 layers are read behind the final norm",
            "the code (variant official_code) turns what feed-forward networks give, further where "
            "it points away, and reads 6 layers without the final norm",
            "the code adds the first principal component of a single vector, which is the first "
            "dimension of the first layer (variant official_code)",
            "lambda 0.17 is the code's for captions of LLaVA-1.5; for POPE it sets 0.01, for "
            "MMHal-Bench 0.1",
            "5 and 6 layers are of 32; at other depths they scale with it, to one at least",
        ),
        cost=Cost(prompt=2),
        needs=("logits that are the vocabulary head's on a normed hidden state",),
    )
    prefix_depends_on = "question"
    noop = {"strength": 0.0, "gamma": 0.0}

    class Params(MethodParams):
        """VISTA's parameters; None takes what fits variant and depth."""

        variant: Literal["paper", "official_code"] = "paper"
        strength: float = Field(0.17, ge=0, description="of steering (lambda)")
        gamma: float = Field(0.3, ge=0, le=1, description="share of the layers before the last")
        window: int | None = Field(None, ge=1, description="how many layers before the last")

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        paper = params.variant == "paper"
        self.resting = ("feed_forward",) if paper else ()
        self.hidden_phases = ("prefill", "decode") if paper else ("prefill",)

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Fill in the window; check that layers can be read and networks be reached."""
        paper, n_layers = params.variant == "paper", model.n_layers
        window = params.window or max(1, of_32(5 if paper else 6, n_layers))
        if window >= n_layers:
            has = f"{model.name!r} has {n_layers - 1}"
            raise UserError(f"method 'vista': window is {window} layers before the last; {has}")
        needs_hidden_states("vista", range(n_layers - window, n_layers), model)
        if not paper and len(model.feed_forwards) < n_layers:
            raise UserError(
                f"method 'vista' turns what feed-forward networks give, and {model.name!r} has "
                "layers with none in a module of its own; use variant paper"
            )
        return params.model_copy(update={"window": window})

    def layers(self, n_layers: int) -> range:
        """All layers; `hidden` sees what leaves each where it enters the next."""
        return range(n_layers + 1)

    def early_layers(self, n_layers: int) -> range:
        """What leaves the layers before the last, up to the penultimate one."""
        assert self.params.window is not None
        return range(n_layers - self.params.window, n_layers)

    def begin(self, batch: Batch) -> Steering:
        """Start with no vectors."""
        return Steering()

    def prepare(self, at: At, inputs: Inputs, forward: Forward) -> None:
        """Read the prompts with their images and without, in one pass; keep the difference."""
        state = at.state
        read = state.reading = {}
        forward(at.model.stacked(inputs, at.model.without_image(inputs)))
        state.reading = None
        pairs = {layer: states.chunk(2) for layer, states in read.items()}
        state.vectors = {layer: seen - unseen for layer, (seen, unseen) in pairs.items()}
        if self.params.variant == "official_code":
            state.vectors[0][:, 0] += 1  # the component: the first right vector of a matrix of 0

    def hidden(self, at: At, hidden: Tensor) -> Tensor | None:
        """Keep the last token's state, or (paper) steer all tokens."""
        state = at.state
        if at.layer and state.reading is not None:
            state.reading[at.layer - 1] = hidden[:, -1].float()
        elif at.layer and state.vectors and self.params.variant == "paper":
            return self._steered(pulled, at, at.layer - 1, hidden)
        return None

    def feed_forward(self, at: At, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Steer what a feed-forward network gives (official_code), of all tokens."""
        return self._steered(turned_further, at, at.layer, outputs) if at.state.vectors else outputs

    def _steered(self, edit: Any, at: At, layer: int, states: Tensor) -> Tensor:
        vector = at.state.vectors[layer].repeat_interleave(at.repeats, 0)[:, None]
        steered: Tensor = edit(states, vector, self.params.strength)
        return steered

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        """Give gamma times the mean of the window's logits, and the model's for the rest."""
        normed, gamma = self.params.variant == "paper", self.params.gamma
        window = self.early_layers(at.n_layers)
        early = sum(at.early(layer, normed)["main"] for layer in window)
        return gamma * early / len(window) + (1 - gamma) * logits["main"]
