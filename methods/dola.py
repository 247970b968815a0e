"""DoLa: Decoding by Contrasting Layers.

What an earlier layer would say next is taken off what the last one says; which earlier layer, is
chosen for every token: the one that is furthest from the last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from math import log
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from halluc.interventions import Method, MethodCard, MethodParams, method
from halluc.interventions.contrast import implausible
from halluc.methods._early import needs_hidden_states

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At
    from halluc.models import VisionLanguageModel

Bucket = Literal["low", "high"]
Variant = Literal["paper", "official_code"]


def bucket_of(n_layers: int, bucket: Bucket) -> tuple[int, ...]:
    """List the even hidden states of the lower or upper half; above 40 layers of 20 at either end.

    32 layers: 0, 2, ..., 14 and 16, 18, ..., 30 (DoLa: README). 0 is the embedding.
    """
    width = n_layers / 2 if n_layers <= 40 else 20
    even = range(0, n_layers, 2)
    return tuple(j for j in even if (j < width if bucket == "low" else j >= n_layers - width))


def divergence(last: Tensor, early: Tensor, variant: Variant) -> Tensor:
    """Measure how far two distributions lie apart: (KL(q_L || M) + KL(q_j || M)) / 2, M their mean.

    The code turns both around: KL(M || q_L), KL(M || q_j) (generation/utils.py:2689).

    Args:
        last, early: Log-probabilities [B, V].

    Returns:
        [B].
    """
    middle = last.logaddexp(early) - log(2)
    if variant == "paper":
        apart = last.exp() * (last - middle) + early.exp() * (early - middle)
    else:
        apart = middle.exp() * (2 * middle - last - early)
    return apart.sum(-1) / 2


def furthest(last: Tensor, early: Iterable[Tensor], variant: Variant) -> tuple[Tensor, Tensor]:
    """Find for each row the early distribution furthest from the last; the first of equals.

    Args:
        last: Log-probabilities [B, V]; `early` yields those of at least one layer.

    Returns:
        Those found [B, V], and their place among `early`, int [B].
    """
    layers = iter(early)
    found = next(layers)
    most = divergence(last, found, variant)
    place = most.new_zeros(most.shape).long()
    for number, candidate in enumerate(layers, 1):
        apart = divergence(last, candidate, variant)
        better = apart > most
        found, most = candidate.where(better[:, None], found), apart.where(better, most)
        place = place.masked_fill(better, number)
    return found, place


@method("dola")
class DoLa(Method):
    """Contrasts the last layer with an earlier one, chosen for each token."""

    card = MethodCard(
        title="DoLa: Decoding by Contrasting Layers Improves Factuality in Large Language Models",
        authors="Chuang et al.",
        year=2024,
        venue="ICLR",
        paper="arXiv:2309.03883",
        code="https://github.com/voidism/DoLa@805230e",
        licence="MIT (badge in README)",
        deviations=(
            "early states pass the final norm, which the vocabulary head is made for; the code "
            "reads them raw (variant official_code)",
            "the layer is chosen by Jensen and Shannon's divergence; the code turns both of its "
            "terms round (variant official_code)",
            "the layer is chosen for each row; the code averages over the batch",
            "the embedding is no candidate where it is tied to the vocabulary head, as it gives "
            "the token just read back; the code knows untied models only",
            "no repetition penalty; the code's runs set 1.2 with DoLa and none for the baseline",
            "the code leaves beams as they are; here they are contrasted, too",
        ),
    )
    prefix_depends_on = "nothing"
    noop = {"weight": 0.0, "relative_top": 0.0}

    class Params(MethodParams):
        """DoLa's parameters; None takes what fits the model."""

        variant: Variant = "paper"
        bucket: Bucket = Field("low", description="which half of the layers")
        layers: tuple[int, ...] | None = Field(
            None, min_length=1, description="hidden states instead of a bucket; 0: embedding"
        )
        relative_top: float = Field(0.1, ge=0, le=1, description="least share of the best token's")
        weight: float = Field(1.0, ge=0, description="of the early layer; ours, 1 is the paper's")

    params: Params

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Fill in the layers by bucket, or check those given; check that they can be read."""
        layers = params.layers
        if layers is None:
            layers = bucket_of(model.n_layers, params.bucket)
            embedding = model.model.get_input_embeddings().weight
            tied = embedding is model.model.get_output_embeddings().weight
            layers = tuple(layer for layer in layers if layer or not tied) or layers
        needs_hidden_states("dola", layers, model)
        return params.model_copy(update={"layers": layers})

    def early_layers(self, n_layers: int) -> Collection[int]:
        """List the candidates."""
        return self.params.layers or ()

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        """Give log q_L - log q_M, up to a constant of each row, where q_L is plausible."""
        main, variant = logits["main"], self.params.variant
        candidates = self.early_layers(at.n_layers)
        read = (at.early(layer, variant == "paper")["main"] for layer in candidates)
        found, _ = furthest(main.log_softmax(-1), (e.log_softmax(-1) for e in read), variant)
        at.forbid(implausible(main, self.params.relative_top))
        return main - self.params.weight * found
