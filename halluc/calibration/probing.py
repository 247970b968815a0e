"""Probe of a model on a few samples: its residual stream, its heads with and without image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from halluc.interventions import At, BatchState, Method, MethodParams
from halluc.interventions.engine import intervene
from halluc.types import Sample
from halluc.world import render, scene
from halluc.world.language import CAPTION_PROMPTS

if TYPE_CHECKING:
    from halluc.models import VisionLanguageModel

SAMPLES = 16


def drawn_descriptions(count: int = SAMPLES) -> tuple[Sample, ...]:
    """Ask for descriptions of scenes drawn for calibration, which no benchmark uses."""
    scenes = [scene("calibration", index) for index in range(count)]
    return tuple(
        Sample(drawn.file_name, drawn.file_name, CAPTION_PROMPTS[0], partial(render, drawn))
        for drawn in scenes
    )


@dataclass(frozen=True)
class Probed:
    """States of a model on N samples.

    Attributes:
        tokens: All real tokens' residual streams as they enter the middle layer, images read
            [tokens of all samples, D].
        first: Which of them stand first in their prompt, bool [tokens of all samples].
        seen, unseen: By layer, the head outputs before o_proj at the position that predicts the
            first token, with and without the image [N, H * d].
    """

    tokens: Tensor
    first: Tensor
    seen: dict[int, Tensor]
    unseen: dict[int, Tensor]


@torch.no_grad()
def probed(model: VisionLanguageModel, samples: Sequence[Sample] = ()) -> Probed:
    """Read prompts with and without their images in one pass.

    Args:
        samples: Prompts and images to read; descriptions of drawn scenes by default.
    """
    samples = samples or drawn_descriptions()
    images = [sample.load_image() for sample in samples]
    inputs = model.encode([model.render(sample.prompt) for sample in samples], images)
    both = model.stacked(inputs, model.without_image(inputs))  # Q-Formers' batches need images
    probe = _Probe(model.n_layers // 2)
    with intervene(model, probe, BatchState.of_inputs(model, both)):
        model.model(**both, use_cache=False, logits_to_keep=1)
    halves = {layer: output.chunk(2) for layer, output in probe.outputs.items()}
    real, first = inputs["attention_mask"].bool(), model.first_token(inputs)
    return Probed(
        tokens=probe.entering[0][: len(samples), -real.shape[1] :][real],
        first=first[real],
        seen={layer: half[0] for layer, half in halves.items()},
        unseen={layer: half[1] for layer, half in halves.items()},
    )


class _Probe(Method):
    """Method that keeps the stream entering the middle layer, and each layer's head outputs."""

    name = "probe"
    cross_attention = True

    def __init__(self, middle: int) -> None:
        super().__init__(MethodParams())
        self.middle = middle
        self.entering: list[Tensor] = []
        self.outputs: dict[int, Tensor] = {}

    def hidden(self, at: At, hidden: Tensor) -> None:
        if at.layer == self.middle:
            self.entering.append(hidden)

    def head_gain(self, at: At, outputs: Tensor) -> Tensor:
        self.outputs[at.layer] = outputs[:, -1].flatten(1).float()
        return outputs.new_ones(1, 1)
