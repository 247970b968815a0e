"""Methods tried on a model: which apply, and why the others do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from halluc.config import DecodingConfig
from halluc.decoding.whole_batch import answer_together
from halluc.errors import UserError
from halluc.interventions import REGISTRY

if TYPE_CHECKING:
    from halluc.interventions import Batch, Method
    from halluc.models import VisionLanguageModel


@dataclass(frozen=True)
class Fit:
    """A method on a model.

    Attributes:
        status: "refused" where the method says that the model, or something else it needs, does
            not serve it; "fails" where it did not say so and breaks.
        reason: Why the method does not apply; empty if it does.
    """

    name: str
    status: Literal["applies", "refused", "fails"]
    reason: str = ""


def fits(model: VisionLanguageModel, batch: Batch) -> list[Fit]:
    """Try every method, with its default parameters, on a batch of questions."""
    return [fit(REGISTRY.get(name), model, batch) for name in REGISTRY.names()]


def fit(cls: type[Method], model: VisionLanguageModel, batch: Batch) -> Fit:
    """Try one method: what it asks of the model, then two tokens."""
    try:
        method = cls.for_model(model)
        answer_together(model, method, batch, DecodingConfig(), max_new_tokens=2)
    except UserError as refusal:
        return Fit(cls.name, "refused", str(refusal))
    except Exception as error:  # whatever a method does on a model it was not written for
        return Fit(cls.name, "fails", f"{type(error).__name__}: {error}".splitlines()[0])
    return Fit(cls.name, "applies")
