"""DeCo: Dynamic Correction Decoding.

Earlier layers often still name what is in the image when the last one no longer does. What the one
says that is surest of a likely next token is added to what the last layer says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from halluc.interventions import Method, MethodCard, MethodParams, method
from halluc.methods._early import needs_hidden_states, of_32

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At
    from halluc.models import VisionLanguageModel


def candidates(logits: Tensor, top_p: float, top_k: int | None) -> Tensor:
    """Mark the likeliest tokens: as many as reach top_p, at most top_k (utils.py:2661-2666).

    Args:
        logits: Next-token logits [B, V].
        top_p: The token that reaches this sum of probabilities is the last; 1 reaches none.
        top_k: None keeps any number.

    Returns:
        bool [B, V], at least one in each row.
    """
    chances, tokens = logits.softmax(-1).topk(min(top_k or logits.shape[-1], logits.shape[-1]))
    kept = chances >= 0
    if top_p < 1:
        kept[:, 1:] = chances.cumsum(-1)[:, :-1] < top_p
    return logits.new_zeros(logits.shape).bool().scatter(-1, tokens, kept)


def surest(early: Iterable[Tensor], among: Tensor) -> tuple[Tensor, Tensor]:
    """Find for each row the early layer surest of a candidate (utils.py:2668-2676).

    p* = max over layers l and candidates v of softmax(lm_head(norm(h_l)))_v; the first of equals.

    Args:
        early: Yields each layer's logits [B, V].
        among: The candidates, bool [B, V].

    Returns:
        That layer's logits [B, V], and p* [B].
    """
    found = most = None
    for logits in early:
        chance = logits.softmax(-1).masked_fill(~among, 0).amax(-1)
        if found is None or most is None:
            found, most = logits, chance
        else:
            found = logits.where((chance > most)[:, None], found)
            most = chance.maximum(most)
    if found is None or most is None:
        raise ValueError("surest() needs a layer")
    return found, most


@method("deco")
class DeCo(Method):
    """Adds what an earlier layer says, chosen for each token."""

    card = MethodCard(
        title="MLLM Can See? Dynamic Correction Decoding for Hallucination Mitigation",
        authors="Wang et al.",
        year=2025,
        venue="ICLR",
        paper="arXiv:2410.11779",
        code="https://github.com/zjunlp/Deco@fee8d75",
        licence="MIT",
        deviations=(
            "the paper was not read; formula and numbers are the code's",
            "hidden states 20 to 28 of 32, 0 being the embedding; at other depths both bounds "
            "scale with it",
            "each row has candidates and a layer of its own; the code does so under beams, and "
            "otherwise takes one prompt at a time",
        ),
        needs=("logits that are the vocabulary head's on a normed hidden state",),
    )
    prefix_depends_on = "nothing"
    noop = {"alpha": 0.0, "top_p": 1.0, "top_k": None}

    class Params(MethodParams):
        """DeCo's parameters; None takes what fits the model's depth."""

        alpha: float = Field(0.6, ge=0, description="weight of the early layer, next to p*")
        top_p: float = Field(0.9, gt=0, le=1, description="probability that candidates reach")
        top_k: int | None = Field(20, ge=1, description="most candidates; None: any number")
        layers: tuple[int, ...] | None = Field(
            None, min_length=1, description="hidden states to choose from; 0: embedding"
        )

    params: Params

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Fill in the layers by depth, or check those given; check that they can be read."""
        layers = params.layers
        if layers is None:
            layers = tuple(range(of_32(20, model.n_layers), of_32(28, model.n_layers) + 1))
        needs_hidden_states("deco", layers, model)
        return params.model_copy(update={"layers": layers})

    def early_layers(self, n_layers: int) -> Collection[int]:
        """List the layers to choose from."""
        return self.params.layers or ()

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        """Give l + alpha p* l_early among the candidates (utils.py:2681)."""
        main = logits["main"]
        among = candidates(main, self.params.top_p, self.params.top_k)
        read = (at.early(layer)["main"] for layer in self.early_layers(at.n_layers))
        found, most = surest(read, among)
        at.forbid(~among)
        return main + self.params.alpha * most[:, None] * found
