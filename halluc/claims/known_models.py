"""The models that papers name: which checkpoint each is, and how large."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class KnownModel:
    """A model as papers name it.

    Attributes:
        name: In papers.
        short: In the names of claims.
        hub: The checkpoint that halluc loads; None where there is none, or it is not known which.
        why_not: Why there is none.
        params: Parameters of all parts, in 10^9, rounded.
        image: Tokens of a picture of 640 x 480 pixels.
        args: Options of loading that make halluc's prompts and pixels those of the authors' code.
        also: Other names of the same weights, as recorded answers have them.
    """

    name: str
    short: str
    hub: str | None = None
    why_not: str = ""
    params: float = 0.0
    image: int = 0
    args: Mapping[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()

    def is_called(self, name: str) -> bool:
        """Return whether a run's model is this one, by its name."""
        known = (self.name, self.hub or "", *self.also)
        return name.lower() in {one.lower() for one in known if one}


LLAVA = {"image_aspect": "pad", "system_prompt": "vicuna"}
_NOT_IN_TRANSFORMERS = "transformers has no class for its weights"

MODELS = {
    model.name: model
    for model in (
        KnownModel(
            "LLaVA-1.5-7B", "llava15-7b", "llava-hf/llava-1.5-7b-hf", "", 7.1, 576, LLAVA,
            ("liuhaotian/llava-v1.5-7b", "llava-v1.5-7b", "llava-1.5-7b-hf"),
        ),
        KnownModel(
            "LLaVA-1.5-13B", "llava15-13b", "llava-hf/llava-1.5-13b-hf", "", 13.4, 576, LLAVA,
            ("liuhaotian/llava-v1.5-13b", "llava-v1.5-13b", "llava-1.5-13b-hf"),
        ),
        KnownModel(
            "InstructBLIP-7B", "instructblip-7b", "Salesforce/instructblip-vicuna-7b", "", 7.9, 32,
            {}, ("instructblip-vicuna-7b",),
        ),
        KnownModel(
            "LLaVA-NeXT-7B", "llava-next-7b",
            why_not="it is not known whether Vicuna's or Mistral's was meant",
        ),
        KnownModel("Qwen-VL", "qwen-vl", why_not=_NOT_IN_TRANSFORMERS),
        KnownModel("Qwen-VL-Chat", "qwen-vl-chat", why_not=_NOT_IN_TRANSFORMERS),
    )
}  # fmt: skip
"""By the name in papers. Parameters and image tokens are those of docs/planning.md where it has
the model; InstructBLIP's are its vision tower's, Q-Former's and language model's."""
