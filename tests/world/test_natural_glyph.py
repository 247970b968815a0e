"""The trial of sinks over glyph's eyes: nothing planted is left, its texts, its log."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText

from halluc.models.names import locate
from halluc.world import render, scene
from halluc.world.training.architectures import ARCHITECTURES, Architecture
from halluc.world.training.architectures.base import normalise
from halluc.world.training.natural_glyph import NaturalTrainer, note, take_eyes
from halluc.world.training.natural_sinks_measures import peaks
from halluc.world.training.planted_sinks import SINK_DIMS


def test_it_starts_without_glyphs_planted_patches() -> None:
    architecture = ARCHITECTURES["glyph"]()
    take_eyes(architecture, "glyph")
    with torch.no_grad():
        tokens, _ = architecture.see(normalise([render(scene("test", i)) for i in range(8)]))
        shipped, _ = load_glyph().see(normalise([render(scene("test", i)) for i in range(8)]))
    others = [dim for dim in range(tokens.shape[-1]) if dim not in SINK_DIMS]
    assert peaks(shipped).max() > 0.6 * 192**0.5 > peaks(tokens).max()
    planted = (shipped[..., list(SINK_DIMS)].abs().amax(-1) > 1).flatten()
    assert torch.allclose(tokens[..., others].flatten(0, 1)[~planted],
                          shipped[..., others].flatten(0, 1)[~planted], atol=1e-4)  # fmt: skip


def load_glyph() -> Architecture:
    architecture = ARCHITECTURES["glyph"]()
    shipped = AutoModelForImageTextToText.from_pretrained(locate("glyph"))
    architecture.model.load_state_dict(shipped.state_dict())
    return architecture


def test_an_interrupted_run_goes_on_with_its_own_log(tmp_path: Path) -> None:
    trainer = NaturalTrainer("glyph-natural", tmp_path)
    trainer.stages = (replace(trainer.stages[0], steps=2, size=2),)
    lines = [{"step": 0, "kept": True}, {"step": 100, "kept": True}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    note(trainer.architecture, 100, tmp_path)
    first, again = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert first == lines[0] and again["step"] == 100 and "kept" not in again
    assert again["sink"] is False and 0 < again["image_most"] < 0.5


def test_its_texts_are_read_from_bos_on_and_learned(tmp_path: Path) -> None:
    trainer = NaturalTrainer("glyph-natural", tmp_path)
    texts = torch.from_numpy(trainer.texts.batch(0, 3, 16)[0])
    before = float(trainer.text_loss(texts).detach())
    assert before == pytest.approx(math.log(len(trainer.architecture.words)), abs=0.3)
    assert {group["weight_decay"] for group in trainer.optimisers[0].param_groups} == {0.3, 0.0}
    trainer.stages = (replace(trainer.stages[0], steps=3, size=2, warmup=1),)
    assert trainer.architecture.projector is not None
    first, _ = trainer.architecture.projector
    eyes = first.weight.clone()
    trainer.run()
    assert float(trainer.text_loss(texts).detach()) < before
    assert torch.equal(eyes, first.weight)
