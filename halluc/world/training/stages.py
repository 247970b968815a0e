"""The stages of training: steps, learning rates and optimisers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from halluc.world.training.lessons import LOOSE, Rates

Part = Literal["vision", "text", "other"]
"""What learns at a rate of its own."""


@dataclass(frozen=True)
class Stage:
    """A stage: steps, scenes in a step, peak learning rate of each part, rates of captions.

    `sinks` says where sinks are put into the weights before its first step: "bos", "patches".
    """

    name: str
    steps: int
    size: int
    rates: dict[str, float]
    captions: Rates = LOOSE
    sinks: frozenset[str] = frozenset()
    warmup: int = 50


AID_UNTIL = 0.6
"""The weight of the heads that read a word falls to 0 over this share of stage two."""


def rate_at(step: int, stage: Stage) -> float:
    """Return the factor of a stage's learning rates, which falls to 4%."""
    return warm_cosine(step, stage.steps, stage.warmup, least=0.04)


def warm_cosine(step: int, steps: int, warmup: int, least: float) -> float:
    """Return the factor of the learning rate: a linear warm-up, then half a cosine to `least`."""
    rise = min(1.0, (step + 1) / warmup)
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
    return rise * (least + (1 - least) * fall)


def optimisers(
    vision: Sequence[nn.Parameter], text: Sequence[nn.Parameter], other: Sequence[nn.Parameter]
) -> list[torch.optim.Optimizer]:
    """Make Muon for the matrices of vision and text, and AdamW for everything else.

    Muon (Keller Jordan et al., https://kellerjordan.github.io/posts/muon/) needs a third of the
    scenes that Adam needs to learn to see: 300 steps of 32 against 460 of 64. Its steps are scaled
    so that Adam's learning rates and decay fit.
    """
    matrices = [{"params": vision, "part": "vision"}, {"params": text, "part": "text"}]
    rest = [{"params": other, "part": "other"}]
    return [
        torch.optim.Muon(matrices, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, betas=(0.9, 0.98), weight_decay=0.0),
    ]
