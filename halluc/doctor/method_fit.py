"""Which methods a model can be given, and why not the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from halluc.config import DecodingConfig
from halluc.decoding.generation import generate
from halluc.errors import UserError
from halluc.interventions import REGISTRY
from halluc.interventions.requirements import needs_masks, needs_reached_layers

if TYPE_CHECKING:
    from halluc.interventions import Asked, Method
    from halluc.models import VisionLanguageModel


@dataclass(frozen=True)
class Fit:
    """A method on a model.

    Attributes:
        status: "refused" where the method says that the model, or what it needs beside, will not
            do; "fails" where it did not say so and breaks.
        reason: Why it does not apply.
    """

    name: str
    status: Literal["applies", "refused", "fails"]
    reason: str = ""


def fits(model: VisionLanguageModel, asked: Asked) -> list[Fit]:
    """Try every method, with its default parameters, on a batch of questions."""
    return [fit(REGISTRY.get(name), model, asked) for name in REGISTRY.names()]


def fit(cls: type[Method], model: VisionLanguageModel, asked: Asked) -> Fit:
    """Try one method: what it asks of the model, then two tokens."""
    try:
        params = cls.Params()
        cls.requires(params, model.model.config, model.name)
        needs_masks(cls, model.text_attention)
        method = cls(cls.resolve(params, model))
        needs_reached_layers(method, model)
        ids = [str(row) for row in range(len(asked.questions))]
        generate(model, method, asked, DecodingConfig(), max_new_tokens=2, sample_ids=ids)
    except UserError as refusal:
        return Fit(cls.name, "refused", str(refusal))
    except Exception as error:  # whatever a method does on a model it was not written for
        return Fit(cls.name, "fails", f"{type(error).__name__}: {error}".splitlines()[0])
    return Fit(cls.name, "applies")
