"""Early layers: which hidden states a method reads next-token logits off, by the model's depth."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from halluc.errors import UserError
from halluc.interventions.requirements import needs_early_logits

if TYPE_CHECKING:
    from halluc.models import VisionLanguageModel


def of_32(layer: int, n_layers: int) -> int:
    """Place a layer that is published for 32 of them at the same share of another depth."""
    return layer * n_layers // 32


def needs_hidden_states(name: str, layers: Collection[int], model: VisionLanguageModel) -> None:
    """Refuse hidden states that a model has not, or that no logits can be read off.

    Args:
        layers: As in transformers' `hidden_states`: 0 is the embedding, and the last is left out.

    Raises:
        UserError: If one does not exist, or the model's logits are made in another way.
    """
    needs_early_logits(name, model)
    for layer in layers:
        if not 0 <= layer < model.n_layers:
            has = f"{model.name!r} has 0 to {model.n_layers - 1} before its last"
            raise UserError(f"method {name!r}: layers names hidden state {layer}; {has}")
