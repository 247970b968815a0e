"""Card of a method, with its cost and kinds; the bases of its parameters and measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict


class Cost(NamedTuple):
    """Forward passes of the language model that an answer of T tokens takes: token * T + prompt.

    Attributes:
        token: Of each token; None where it depends on the answer.
        prompt: Of each prompt, next to those of its tokens; None where it depends on the answer.

    Examples:
        >>> from halluc import Cost
        >>> Cost(token=2)  # of a contrast of two streams
        Cost(token=2, prompt=0)
    """

    token: int | None = 1
    prompt: int | None = 0


ONE_A_TOKEN = Cost()

KINDS = (
    (("search",), "search"),
    (("streams",), "contrast"),
    (("attention_bias", "attention_logits", "attention_weights"), "attention"),
    (("head_gain",), "heads"),
    (("hidden", "feed_forward"), "hidden states"),
    (("image_tokens",), "image tokens"),
    (("weights",), "weights"),
    (("prompt",), "prompt"),
    (("revise",), "revision"),
    (("confidence",), "abstaining"),
)
"""The kind of a method that overrides any of some seams."""


@dataclass(frozen=True)
class MethodCard:
    """Card of a method: where it comes from, and how ours differs.

    Attributes:
        title, authors, year, venue: The paper's.
        paper: Its arXiv number or address.
        code: The reference repository and the commit it was checked against.
        licence: Of that code.
        deviations: Known differences from the paper or its code, one sentence each.
        cost: Forward passes it takes; a test counts them.
        needs: What a model has to have, one phrase each; models that lack it are refused.

    Examples:
        >>> from halluc import Cost, MethodCard
        >>> card = MethodCard("Blindfold", "you", 2026, "here", "arXiv:0", cost=Cost(token=2))
        >>> card.cost.token
        2
    """

    title: str
    authors: str
    year: int
    venue: str
    paper: str
    code: str = ""
    licence: str = ""
    deviations: tuple[str, ...] = ()
    cost: Cost = ONE_A_TOKEN
    needs: tuple[str, ...] = ()


class MethodParams(BaseModel):
    """Base of every method's parameters: frozen, and closed to unknown names.

    Examples:
        >>> from halluc import MethodParams
        >>> class Params(MethodParams):
        ...     alpha: float = 0.5
        >>> Params(alpha="0.7").alpha
        0.7
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Calibrated(NamedTuple):
    """Measurements of a method's `calibrate`.

    Attributes:
        params: Parameters to set where a user sets none.
        report: Numbers to show next to them.
        tensors: Vectors too large for JSON; `Method.load` reads them.

    Examples:
        >>> from halluc import Calibrated
        >>> Calibrated(params={"tau": 8.0}, report={"scenes": 64}).params["tau"]
        8.0
    """

    params: dict[str, Any]
    report: dict[str, Any]
    tensors: dict[str, Any] = {}
