"""Processors are loaded without what reads videos, and so without torchvision."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, Qwen2VLProcessor

from halluc.models.processors import load_processor, without_videos
from halluc.world import render, scene
from halluc.world.training.architectures import ARCHITECTURES, save


@pytest.mark.parametrize("name", ["glyph", "glyph-qwen"])
def test_a_saved_processor_reads_as_it_did(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    architecture = ARCHITECTURES[name]()
    save(architecture, tmp_path)
    loaded = load_processor(str(tmp_path), AutoConfig.from_pretrained(tmp_path))
    words = architecture.tokenizer.convert_tokens_to_ids
    mark = {"glyph": "<image>", "glyph-qwen": "<|image_pad|>"}[name]
    asked = {"text": [f"USER: {mark}Is there a dog?"], "images": [render(scene("test", 0))]}
    ours = architecture.processor()(**asked, return_tensors="pt")
    theirs = loaded(**asked, return_tensors="pt")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert (theirs["input_ids"] == words(mark)).sum() == 64


def test_only_videos_are_left_out() -> None:
    without = without_videos(Qwen2VLProcessor)
    assert issubclass(without, Qwen2VLProcessor)
    assert without.get_attributes() == ["image_processor", "tokenizer"]
    assert without.__name__ == "Qwen2VLProcessor"  # by which it is saved
    assert "video_processor" in Qwen2VLProcessor.get_attributes()


def test_a_processor_that_needs_its_reader_of_videos_keeps_it() -> None:
    from transformers import LlavaProcessor, SmolVLMProcessor

    assert without_videos(SmolVLMProcessor) is None
    assert without_videos(LlavaProcessor) is None
