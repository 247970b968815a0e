"""Read the hidden states that a model has of captions and of pictures, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor

from halluc.calibration.demonstrations import Demonstration, masked_copies
from halluc.interventions import At, BatchState, Method, MethodParams
from halluc.interventions.engine import intervene

if TYPE_CHECKING:
    from PIL.Image import Image

    from halluc.models import VisionLanguageModel

Read = Literal["last", "mean"]

_BATCH = 8


class CaptionShifts(NamedTuple):
    """Hidden states of true captions less those of hallucinated ones, fp32, CPU [N, L + 1, D].

    Attributes:
        raw: Of what enters the first of L layers, then of what leaves each.
        normed: The same, but what leaves the last layer is taken behind the final norm, as in
            transformers' own `hidden_states`.
    """

    raw: Tensor
    normed: Tensor


def caption_shifts(
    model: VisionLanguageModel,
    demonstrations: Sequence[Demonstration],
    read: Read,
    ending: tuple[str, str] = ("", ""),
) -> CaptionShifts:
    """Read the states of both captions as answers to the demonstrations' prompts and pictures.

    Args:
        read: The last token's states, or their mean over all tokens, those of the image included.
        ending: What is put in front of each caption, behind the rendered prompt, and behind it.
    """
    front, behind = ending
    true, wrong = (
        _caption_states(model, demonstrations, [front + one + behind for one in captions], read)
        for captions in (
            [one.truthful for one in demonstrations],
            [one.hallucinated for one in demonstrations],
        )
    )
    return CaptionShifts(true.raw - wrong.raw, true.normed - wrong.normed)


@torch.no_grad()
def _caption_states(
    model: VisionLanguageModel,
    demonstrations: Sequence[Demonstration],
    captions: Sequence[str],
    read: Read,
) -> CaptionShifts:
    parts: list[CaptionShifts] = []
    for start in range(0, len(captions), _BATCH):
        shown = demonstrations[start : start + _BATCH]
        pairs = zip(shown, captions[start : start + _BATCH], strict=True)
        texts = [model.render(one.prompt) + caption for one, caption in pairs]
        inputs = model.encode(texts, [one.image for one in shown])
        reader = _CaptionReader(read)
        with intervene(model, reader, BatchState.of_inputs(model, inputs)):
            model.model(**inputs, use_cache=False, logits_to_keep=1)
        normed = [*reader.states[:-1], *reader.normed]
        parts.append(CaptionShifts(*(torch.stack(s, 1).cpu() for s in (reader.states, normed))))
    return CaptionShifts(*(torch.cat(kind) for kind in zip(*parts, strict=True)))


def tower_shifts(
    model: VisionLanguageModel, demonstrations: Sequence[Demonstration], copies: int, ratio: float
) -> Tensor:
    """Read how far the vision tower's states move, on average, from pictures to masked copies.

    Args:
        copies: How many masked copies of each picture.
        ratio: The share of a copy that is masked, in cells the size of the tower's patches.

    Returns:
        Of what enters the first of Lv layers, then of what leaves each, fp32 on the CPU:
        [N, Lv + 1, T, D], or the mean over tokens [N, Lv + 1, 1, D] where the tower takes pictures
        at their own size. The tiles of a picture are averaged.
    """
    found = []
    for seed, one in enumerate(demonstrations):
        masked = masked_copies(one.image, _cells(model, one.image), copies, ratio, seed)
        found.append(tower_shift(model, one.image, masked))
    return torch.stack(found)


@torch.no_grad()
def tower_shift(model: VisionLanguageModel, image: Image, copies: Sequence[Image]) -> Tensor:
    """Read how far the tower's states move from a picture to its copies [Lv + 1, T or 1, D].

    Args:
        copies: At least one, of the picture's size.
    """
    pictures = [image, *copies]
    inputs = model.encode([model.render("?")] * len(pictures), pictures)
    reader = _TowerReader(len(pictures))
    with intervene(model, reader, BatchState.of_inputs(model, inputs)):
        model.encode_images(inputs)
    return torch.stack(reader.shifts).cpu()


def _cells(model: VisionLanguageModel, image: Image) -> int:
    """How many of the tower's patches lie along a picture's side."""
    vision = model.model.config.vision_config
    sides = (getattr(vision, name, None) for name in ("image_size", "patch_size"))
    size, patch = (max(side) if isinstance(side, list | tuple) else side for side in sides)
    return max(1, (size or image.width) // (patch or 14))


class _Reader(Method):
    """Reads hidden states and edits nothing."""

    name = "reader"
    rows = "all"

    def __init__(self) -> None:
        super().__init__(MethodParams())


class _CaptionReader(_Reader):
    """Keeps one state a row of what enters each layer and leaves the last."""

    def __init__(self, read: Read) -> None:
        super().__init__()
        self.one: Callable[[At, Tensor], Tensor] = _last if read == "last" else _mean
        self.states: list[Tensor] = []
        self.normed: list[Tensor] = []

    def layers(self, n_layers: int) -> Collection[int]:
        return range(n_layers + 1)

    def hidden(self, at: At, hidden: Tensor) -> None:
        self.states.append(self.one(at, hidden))
        if at.layer == at.n_layers:
            forward = at.model.final_norm.forward  # no hooks: this is called by one
            self.normed.append(self.one(at, forward(hidden)))


class _TowerReader(_Reader):
    """Keeps how far states of the vision tower move from the first of several pictures."""

    in_vision_tower = True

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.shifts: list[Tensor] = []

    def hidden(self, at: At, hidden: Tensor) -> None:
        if at.part == "text":
            return
        fixed = hidden.dim() == 3 and len(hidden) % self.count == 0
        # Tiles of a picture stand next to each other; so do pictures where all lie in one row.
        tiles, tokens = (-1, hidden.shape[1]) if fixed else (1, -1)
        by_picture = hidden.float().reshape(self.count, tiles, tokens, hidden.shape[-1])
        seen = by_picture.mean(1)
        shift = seen[1:].mean(0) - seen[0]
        self.shifts.append(shift if fixed else shift.mean(0, keepdim=True))


def _last(at: At, hidden: Tensor) -> Tensor:
    """The last token's states [B, D]."""
    return hidden[:, -1].float()


def _mean(at: At, hidden: Tensor) -> Tensor:
    """The mean over tokens that are not padding [B, D]."""
    weights = at.rows[:, :, None].float()
    return (hidden.float() * weights).sum(1) / weights.sum(1)
