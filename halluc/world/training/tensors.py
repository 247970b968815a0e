"""Training batches as tensors: pictures with labelled patches, and packed conversations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from halluc.world.backgrounds import SIDE
from halluc.world.captions import SIDES
from halluc.world.catalog import NAMES
from halluc.world.language import HUES
from halluc.world.rendering import render
from halluc.world.scenes import Scene, generator, outline
from halluc.world.training.architectures.base import COLUMNS, IMAGE_TOKENS, Architecture, normalise
from halluc.world.training.lessons import (
    BLANK_ODDS,
    Rates,
    Turn,
    blank_turns,
    caption_turn,
    question_turns,
)

IGNORE = -100
EXISTENCE, ATTRIBUTES = 6, 4
"""The numbers of questions about each training scene."""

_NAME = {name: number for number, name in enumerate(NAMES)}
_SIDE = {side: number for number, side in enumerate(SIDES)}
_HUE = {hue: number for number, hue in enumerate(HUES)}


@dataclass
class Sights:
    """Pictures and the labels of their patches.

    Attributes:
        pixels: float [B, 3, 128, 128], normalised.
        category: int [B, 64], category under each patch; the number of categories for background.
        colour: int [B, 64], its colour, or IGNORE.
        present: float [B, categories], 1 where the scene has the category.
    """

    pixels: Tensor
    category: Tensor
    colour: Tensor
    present: Tensor


@dataclass
class Talks:
    """Conversations, packed: one prefix, then turns that see only it and themselves.

    Attributes:
        ids: int [B, L], tokens after the prefix.
        places: int [B, L], place in the turn, from 0.
        turn: int [B, L], 1, 2, ... for the turns, 0 for padding.
        labels: int [B, L], what each position should predict next, or IGNORE.
        caption: bool [B, L], whether a label belongs to a caption.
        asked: float [B, L], 1 or 0 at a word whose presence is asked, by the truth; NaN elsewhere.
        hue, side: int [B, L], at a word asked about, the thing's colour and third of the picture;
            IGNORE elsewhere.
    """

    ids: Tensor
    places: Tensor
    turn: Tensor
    labels: Tensor
    caption: Tensor
    asked: Tensor
    hue: Tensor
    side: Tensor


def _blank(drawn: Scene) -> Image.Image | None:
    rng = generator("blank", drawn.split, drawn.index)
    if rng.random() >= BLANK_ODDS:
        return None
    return Image.new("RGB", (SIDE, SIDE), tuple(rng.randint(0, 255) for _ in range(3)))


def sights(scenes: list[Scene]) -> Sights:
    """Draw scenes and label their patches."""
    images, category, colour = [], [], []
    present = torch.zeros(len(scenes), len(NAMES))
    for row, drawn in enumerate(scenes):
        blank = _blank(drawn)
        images.append(blank or render(drawn))
        under, hue = _patches(drawn) if blank is None else _nothing()
        category.append(under)
        colour.append(hue)
        for name in drawn.categories if blank is None else ():
            present[row, _NAME[name]] = 1
    under_patches, hues = (torch.from_numpy(np.stack(part)) for part in (category, colour))
    return Sights(normalise(images), under_patches, hues, present)


_Grid = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def _nothing() -> tuple[_Grid, _Grid]:
    return np.full(IMAGE_TOKENS, len(NAMES), np.int64), np.full(IMAGE_TOKENS, IGNORE, np.int64)


def _patches(drawn: Scene) -> tuple[_Grid, _Grid]:
    """Return the category and colour of each patch: those of the thing that fills most of it."""
    category, colour = _nothing()
    most = np.zeros(IMAGE_TOKENS)
    covered = np.zeros((SIDE, SIDE), bool)
    each = SIDE // COLUMNS
    for thing in reversed(drawn.things):
        mask = outline(thing) & ~covered
        if thing.opacity > 0.6:
            covered |= mask
        pixels = mask.reshape(COLUMNS, each, COLUMNS, each).sum((1, 3)).reshape(-1)
        # A thing smaller than a patch still claims the one that holds most of it.
        enough = (pixels >= 24) | (pixels >= 0.5 * thing.area)
        wins = enough & (pixels > most)
        most[wins] = pixels[wins]
        category[wins], colour[wins] = _NAME[thing.category], _HUE[thing.colour]
    return category, colour


def talks(scenes: list[Scene], architecture: Architecture, seed: int, rates: Rates) -> Talks:
    """Write a caption turn and question turns for each scene, and pack them."""
    rows = []
    for drawn in scenes:
        rng = generator("lessons", seed, drawn.split, drawn.index)
        if _blank(drawn) is not None:
            turns = blank_turns(rng, EXISTENCE)
        else:
            turns = [
                caption_turn(drawn, rng, rates),
                *question_turns(drawn, rng, EXISTENCE, ATTRIBUTES, rates.false_yes),
            ]
        rows.append(_Row(architecture, turns))
    length = -(-max(len(row.ids) for row in rows) // 8) * 8
    pad = architecture.tokenizer.convert_tokens_to_ids("<pad>")
    assert isinstance(pad, int)
    return Talks(
        _tensor([row.ids for row in rows], length, pad),
        _tensor([row.places for row in rows], length, 0),
        _tensor([row.turn for row in rows], length, 0),
        _tensor([row.labels for row in rows], length, IGNORE),
        _tensor([row.caption for row in rows], length, False),
        _tensor([row.asked for row in rows], length, float("nan")),
        _tensor([row.hue for row in rows], length, IGNORE),
        _tensor([row.side for row in rows], length, IGNORE),
    )


class _Row:
    def __init__(self, architecture: Architecture, turns: list[Turn]) -> None:
        tokenizer = architecture.tokenizer
        self.ids: list[int] = []
        self.places: list[int] = []
        self.turn: list[int] = []
        self.labels: list[int] = []
        self.caption: list[bool] = []
        self.asked: list[float] = []
        self.hue: list[int] = []
        self.side: list[int] = []
        end = tokenizer.convert_tokens_to_ids("</s>")
        for number, turn in enumerate(turns, 1):
            asks = tokenizer.encode(
                architecture.turn.format(question=turn.question), add_special_tokens=False
            )
            says = [*tokenizer.encode(turn.answer, add_special_tokens=False), end]
            ids = asks + says[:-1]
            self.ids += ids
            self.places += range(len(ids))
            self.turn += [number] * len(ids)
            self.labels += [IGNORE] * (len(asks) - 1) + says
            self.caption += [turn.answer not in ("Yes", "No")] * len(ids)
            word = tokenizer.convert_tokens_to_ids(turn.category) if turn.category else None
            self.asked += [float(turn.present) if i == word else float("nan") for i in ids]
            about = turn.about
            word = tokenizer.convert_tokens_to_ids(about.category) if about else None
            self.hue += [_HUE[about.colour] if about and i == word else IGNORE for i in ids]
            self.side += [_SIDE[about.side] if about and i == word else IGNORE for i in ids]


def _tensor(rows: Sequence[Sequence[float]], length: int, fill: float) -> Tensor:
    return torch.tensor([[*row, *[fill] * (length - len(row))] for row in rows])
