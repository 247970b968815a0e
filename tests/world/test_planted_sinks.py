"""Sinks put into weights: massive where they should be, looked at as much as is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from halluc.world import render, scene
from halluc.world.backgrounds import SIDE
from halluc.world.language import CAPTION_PROMPTS
from halluc.world.scenes import outline
from halluc.world.training import planted_sinks
from halluc.world.training.architectures import ARCHITECTURES, Architecture
from halluc.world.training.architectures.base import normalise
from halluc.world.training.plainness import PLAINEST, plain_patches
from halluc.world.training.planted_sinks import (
    PATCHES_A_SCENE,
    SHARE,
    SINK_DIMS,
    look,
    plant_sinks,
)


@pytest.fixture(scope="module")
def planted() -> Architecture:
    """An untrained LLaVA with sinks in BOS."""
    torch.manual_seed(0)
    architecture = ARCHITECTURES["glyph"]()
    plant_sinks(architecture, bos=True, patches=False)
    return architecture


def test_heads_give_sinks_the_share_that_is_said(planted: Architecture) -> None:
    with torch.no_grad():
        _, weights = look(planted, CAPTION_PROMPTS[1])  # a question they were not tuned on
    for layer in weights:
        share = layer[:, :, -5:, 0].mean((0, 2))
        assert torch.allclose(share, torch.full_like(share, SHARE), atol=0.05)


def test_bos_is_massive_in_one_dimension_of_every_layer(planted: Architecture) -> None:
    with torch.no_grad():
        streams, _ = look(planted, CAPTION_PROMPTS[0])
    for stream in streams:
        relative = stream.abs() / stream.pow(2).mean(-1, keepdim=True).sqrt()
        assert (relative[:, 0, SINK_DIMS[0]] > 0.95 * stream.shape[-1] ** 0.5).all()
        assert relative[:, 1:, list(SINK_DIMS)].max() < 0.01  # nothing else writes there


def test_nothing_but_keys_reads_the_sinks_dimensions(planted: Architecture) -> None:
    for layer in planted.decoder.layers:
        readers = (layer.self_attn.q_proj, layer.self_attn.v_proj, layer.mlp.gate_proj)
        assert not any(reader.weight[:, list(SINK_DIMS)].any() for reader in readers)
        read = layer.self_attn.k_proj.weight[:, SINK_DIMS[0]].nonzero()[:, 0]
        assert read.tolist() == [23, 71, 119, 167]  # the slowest channel of each head of 48


def test_plain_patches_are_the_least_detailed_ones_without_a_thing_in_each_scene() -> None:
    scenes = [scene("plain", index) for index in range(200)]
    each = SIDE // 8
    for drawn, plain in zip(scenes, plain_patches(scenes), strict=True):
        covered = np.zeros((SIDE, SIDE), bool)
        for thing in drawn.things:
            covered |= outline(thing)
        bare = ~covered.reshape(8, each, 8, each).any((1, 3)).reshape(-1)
        assert plain.sum() == PLAINEST
        assert bare[plain].all()
        pixels = np.asarray(render(drawn), np.float32).reshape(8, each, 8, each, 3)
        detail = pixels.std((1, 3)).mean(-1).reshape(-1)
        assert detail[plain].max() <= detail[bare & ~plain].min()


@pytest.mark.parametrize("name", ["glyph", "glyph-qwen"])
def test_the_planted_unit_makes_about_as_many_patches_massive_as_are_said(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planted_sinks, "FIT_SCENES", 50)
    torch.manual_seed(0)
    architecture = ARCHITECTURES[name]()
    found = plant_sinks(architecture, bos=False, patches=True)
    images = [render(scene("plain", index)) for index in range(50)]
    with torch.no_grad():
        tokens, _ = architecture.see(normalise(images))
    relative = tokens.abs() / tokens.pow(2).mean(-1, keepdim=True).sqrt()
    massive = relative[..., SINK_DIMS[1]] >= 0.6 * tokens.shape[-1] ** 0.5
    a_scene = massive.float().sum(1).mean()
    assert 0.9 * PATCHES_A_SCENE < a_scene < 1.4 * PATCHES_A_SCENE  # the next ones are, too
    assert massive.any(1).float().mean() == pytest.approx(found["scenes"], abs=0.05)


def test_half_of_the_heads_look_at_bos_and_half_at_patches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planted_sinks, "FIT_SCENES", 50)
    torch.manual_seed(0)
    architecture = ARCHITECTURES["glyph"]()
    plant_sinks(architecture, bos=True, patches=True)
    with torch.no_grad():
        _, weights = look(architecture, CAPTION_PROMPTS[1])
    for layer in weights:
        first = layer[:, :, -5:, 0].mean((0, 2))
        assert first[:2].min() > 2 * first[2:].max()
