"""Methods that decode a second stream next to the prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from halluc.interventions import At, Batch, Method
from halluc.models import VisionLanguageModel


class Twin(Method):
    """Decodes the same prompts twice and averages."""

    name = "twin"

    def streams(self, batch: Batch, model: VisionLanguageModel) -> dict[str, Mapping[str, Any]]:
        return {"twin": batch.inputs}

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([*logits.values()]).mean(0)


class Blind(Method):
    """Contrasts with the prompt without its image."""

    name = "blind"
    weight = 1.0

    def streams(self, batch: Batch, model: VisionLanguageModel) -> dict[str, Mapping[str, Any]]:
        return {"blind": model.without_image(batch.inputs)}

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        return (1 + self.weight) * logits["main"] - self.weight * logits["blind"]
