"""Attention sinks of prompts about scenes: where they are, how massive, how much they draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.models.massive import MASSIVE

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.lab.probes import MassiveTokens
    from halluc.models import VisionLanguageModel
    from halluc.world import Scene

ATTENDED = 0.3
"""A sink's least share of later rows' attention; it is `MASSIVE`, too."""
_BATCH = 8


@dataclass(frozen=True)
class FoundSinks:
    """What was seen in one scene's prompt, by layer.

    Attributes:
        scene: The scene.
        image_hash: Of its picture.
        first, largest: |x_d| / rms(x) of the first and of the largest image token, of sqrt(D) [L].
        first_sinks: Whether the first token is a sink [L].
        sinks: Image tokens that are sinks, bool [L, n].
        together: Attention that rows behind the image give massive image tokens together [L].
    """

    scene: Scene
    image_hash: str
    first: Tensor
    largest: Tensor
    first_sinks: Tensor
    sinks: Tensor
    together: Tensor

    @property
    def anywhere(self) -> Tensor:
        """Image tokens that are sinks in some layer, bool [n]."""
        return self.sinks.any(0)


def sink_tokens(size: Tensor, attended: Tensor, together: Tensor, image: Tensor) -> Tensor:
    """Mark sinks: tokens that are massive and attended to.

    Several visual sinks share what a single one would get. So image tokens count as attended to,
    too, if all massive ones together are, by the rows behind the image.

    Args:
        size: |x_d| / rms(x) of sqrt(D) [B, L].
        attended: Mean attention of later rows, in the head where it is largest [B, L].
        together: Attention to the massive image tokens together, likewise [B].
        image: Image tokens, bool [B, L].

    Returns:
        bool [B, L].
    """
    shared = image & (together >= ATTENDED)[:, None]
    return (size >= MASSIVE) & ((attended >= ATTENDED) | shared)


def look(model: VisionLanguageModel, drawn: Sequence[Scene]) -> list[FoundSinks]:
    """Read prompts that ask for descriptions, and find sinks in them."""
    import torch

    from halluc.decoding.batch_encoding import batch_of
    from halluc.interventions import BatchState, no_method
    from halluc.interventions.engine import intervene
    from halluc.lab.probes import MassiveTokens
    from halluc.lab.questions import caption
    from halluc.models.embed_prompt import forwarded
    from halluc.world.controlled import Variant

    found = []
    for start in range(0, len(drawn), _BATCH):
        some = drawn[start : start + _BATCH]
        batch = batch_of(model, no_method(), [caption(Variant(one)) for one in some])
        peaks, inputs = MassiveTokens(MASSIVE), dict(batch.inputs)
        memory = BatchState.of_inputs(model, inputs, batch)
        with torch.inference_mode(), intervene(model, peaks, memory):
            model.model(**forwarded(model, inputs), use_cache=False, logits_to_keep=1)
        first = model.first_token(inputs)
        found += [
            _of_row(peaks, row, one, batch.image_hashes[row], first[row])
            for row, one in enumerate(some)
        ]
    return found


def _of_row(
    peaks: MassiveTokens, row: int, drawn: Scene, image_hash: str, first: Tensor
) -> FoundSinks:
    import torch

    image = peaks.image[row]
    layers = sorted(peaks.attended)
    size = torch.stack([peaks.size[i][row] for i in layers])
    together = torch.stack([peaks.together[i][row] for i in layers])
    attended = torch.stack([peaks.attended[i][row] for i in layers])
    sinks = sink_tokens(size, attended, together, image.expand_as(size))
    return FoundSinks(
        drawn,
        image_hash,
        first=size[:, first][:, 0].cpu(),
        largest=size[:, image].amax(1).cpu(),
        first_sinks=sinks[:, first][:, 0].cpu(),
        sinks=sinks[:, image].cpu(),
        together=together.cpu(),
    )
