"""Attention sinks in initial weights: in BOS, and in plain background patches.

A small model that is trained for minutes grows no attention sinks by itself (docs/sinks.md), while
pre-trained ones have them. So each head of the language model starts with somewhere harmless to
look, and everything is trained on from there, these weights too:

- BOS is massive in one dimension of the residual stream, from its embedding on;
- so are plain background patches: a unit of the projector reads how plain a patch is;
- in every head, one channel of the keys reads that dimension, and the query's bias wants it. It is
  the channel that rotary position turns least. (Attention sinks act as biases of keys: Gu et al.,
  ICLR 2025, arXiv:2410.10781.) Values do not read it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from halluc.world.backgrounds import SIDE
from halluc.world.rendering import render
from halluc.world.scenes import Scene, outline, scene
from halluc.world.training.architectures.base import COLUMNS, Architecture, normalise

SINK_DIM = 5
"""The dimension of the residual stream in which a sink is massive."""
LOGIT = 5.0
"""The attention logit of a token that is as massive as it can be, in every head, at the start."""
BOS_SIZE = 1.0
"""BOS's value in that dimension; its others have a standard deviation of .02."""
PLAIN_A_SCENE = 3.0
"""The mean number of patches in a scene that start as sinks."""
PATCH_SIZE = 1.5
"""A plain patch's value in that dimension, next to the length of the rest of its vector."""
FIT_SCENES = 400
"""Scenes on which the reading of plainness is fitted."""


def plant_sinks(architecture: Architecture, bos: bool, patches: bool) -> dict[str, float]:
    """Write sinks into a model whose vision tower sees and whose language model is new.

    Args:
        architecture: The model, changed in place.
        bos: The first token becomes a sink.
        patches: Plain background patches become sinks; needs a projector of two matrices.

    Returns:
        Measures of the reading of plainness: the share of plain patches among those it names
        ("precision"), and the mean number it names in a scene ("a_scene").
    """
    with torch.no_grad():
        for layer in architecture.decoder.layers:
            _attend(layer.self_attn, architecture.words.shape[1])
        if bos:
            words = architecture.words
            words[:, SINK_DIM] = 0
            words[architecture.ids(architecture.before[:1])[0], SINK_DIM] = BOS_SIZE
        return _plant_in_patches(architecture) if patches else {}


def _attend(attention: Any, width: int) -> None:
    """Let every head want the sinks' dimension, at a logit of `LOGIT` where only that is large."""
    size = attention.head_dim
    channel = size // 2 - 1  # rotary position turns this pair of channels least
    massive = math.sqrt(width)  # a normalised token that is large in this dimension only
    strength = math.sqrt(LOGIT * math.sqrt(size))
    query, key = attention.q_proj, attention.k_proj
    for head in range(query.out_features // size):
        row = head * size + channel
        query.weight[row] = 0
        query.bias[row] = strength
    for head in range(key.out_features // size):
        row = head * size + channel
        key.weight[row] = 0
        key.weight[row, SINK_DIM] = strength / massive
        key.bias[row] = 0
    attention.v_proj.weight[:, SINK_DIM] = 0


def _plant_in_patches(architecture: Architecture) -> dict[str, float]:
    """Fit a reading of plainness and give it the projector's last unit."""
    from sklearn.linear_model import LogisticRegression

    projector = architecture.projector
    assert projector is not None
    first, second = projector
    features, lengths = _features(architecture, first)
    plain = plain_patches([scene("plain", index) for index in range(FIT_SCENES)]).reshape(-1)
    reading = LogisticRegression(max_iter=2000, C=1.0).fit(features.numpy(), plain)
    score = torch.from_numpy(reading.decision_function(features.numpy())).float()
    number = round(PLAIN_A_SCENE * FIT_SCENES)
    least = score.topk(number).values[-1]
    typical = score[score >= least].median()
    sharp = 3.0 / (typical - least)  # GELU is nearly the identity at 3 and nearly 0 below 0
    weight = torch.from_numpy(reading.coef_[0]).float()
    bias = float(reading.intercept_[0])
    first.weight[-1] = weight.to(first.weight) * sharp.item()
    first.bias[-1] = (bias - least.item()) * sharp.item()
    second.weight[:, -1] = 0
    second.weight[SINK_DIM] = 0
    second.bias[SINK_DIM] = 0
    second.weight[SINK_DIM, -1] = PATCH_SIZE * lengths.median().item() / 3.0
    named = score >= least
    precision = float(plain[named.numpy()].mean())
    return {"precision": precision, "a_scene": float(named.sum()) / FIT_SCENES}


def _features(architecture: Architecture, first: nn.Linear) -> tuple[Tensor, Tensor]:
    """Return what the projector's first matrix reads [N, D], and image tokens' lengths [N]."""
    read: list[Tensor] = []
    hook = first.register_forward_pre_hook(lambda _m, arguments: read.append(arguments[0]))
    lengths = []
    device = next(architecture.model.parameters()).device
    for start in range(0, FIT_SCENES, 50):
        images = [render(scene("plain", index)) for index in range(start, start + 50)]
        tokens, _ = architecture.see(normalise(images).to(device))
        lengths.append(tokens.float().norm(dim=-1).flatten().cpu())
    hook.remove()
    features = torch.cat([part.float().flatten(0, -2).cpu() for part in read])
    return features, torch.cat(lengths)


def plain_patches(scenes: Sequence[Scene]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Mark the plainest patches: no thing in them, and least detail among all such patches.

    Args:
        scenes: Scenes to draw.

    Returns:
        bool [scenes, 64]; `PLAIN_A_SCENE` are true in a scene on average.
    """
    each = SIDE // COLUMNS
    detail = np.empty((len(scenes), COLUMNS**2))
    for row, drawn in enumerate(scenes):
        pixels = np.asarray(render(drawn), np.float32).reshape(COLUMNS, each, COLUMNS, each, 3)
        detail[row] = pixels.std((1, 3)).mean(-1).reshape(-1)
        covered = np.zeros((SIDE, SIDE), bool)
        for thing in drawn.things:
            covered |= outline(thing)
        busy = covered.reshape(COLUMNS, each, COLUMNS, each).any((1, 3)).reshape(-1)
        detail[row][busy] = np.inf
    number = round(PLAIN_A_SCENE * len(scenes))
    most: float = np.partition(detail.reshape(-1), number - 1)[number - 1]
    plain: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = detail <= most
    return plain
