"""How much attention VAR moves to image tokens: measured inside a forward pass, per scene."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from halluc.decoding.batch_encoding import batch_of
from halluc.interventions import At, BatchState
from halluc.interventions.engine import intervene
from halluc.lab.questions import caption
from halluc.methods.var import VAR
from halluc.models import VisionLanguageModel
from halluc.models.embed_prompt import forwarded
from halluc.world import Scene
from halluc.world.controlled import Variant


class WatchedVAR(VAR):
    """VAR, and what it adds to image tokens.

    Attributes:
        moved: By layer, what image tokens gain of the attention of the prompt's last row, in the
            head in which they gain most [B].
    """

    def __init__(self, params: VAR.Params) -> None:
        super().__init__(params)
        self.moved: dict[int, Tensor] = {}

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        """Redistribute as VAR does, and note the last row's gains."""
        edited = super().attention_weights(at, weights)
        gained = (edited[:, :, -1] - weights[:, :, -1]).clamp(min=0) * at.image_columns[:, None]
        self.moved[at.layer] = gained.sum(-1).amax(1).cpu()
        return edited


def moved_by_var(model: VisionLanguageModel, drawn: Sequence[Scene], size: int = 8) -> list[float]:
    """Ask for descriptions and measure what VAR gives image tokens, for each scene.

    Returns:
        The share of the last row's attention, 0 to 1, in the layer and head where it is largest.
    """
    found: list[float] = []
    params = WatchedVAR.for_model(model).params
    for start in range(0, len(drawn), size):
        asked = [caption(Variant(one)) for one in drawn[start : start + size]]
        watched = WatchedVAR(params)
        batch = batch_of(model, watched, asked)
        inputs = dict(batch.inputs)
        memory = BatchState.of_inputs(model, inputs, batch)
        with torch.inference_mode(), intervene(model, watched, memory):
            model.model(**forwarded(model, inputs), use_cache=False, logits_to_keep=1)
        found += torch.stack(list(watched.moved.values())).amax(0).tolist()
    return found
