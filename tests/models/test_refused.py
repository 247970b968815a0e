"""Models that no method could act on are refused by their configuration, without weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import LlavaConfig

from halluc.errors import UserError
from halluc.models import load_model
from halluc.models.families import family_of, refuse_unserved
from tests.kit.families import REFUSED, build

ENCODERS = "is an encoder-decoder: its image tokens are read by an encoder"
NAMELESS = "names no image token"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (REFUSED["florence-2"], ENCODERS),
        (REFUSED["blip-2 with T5"], ENCODERS),
        (REFUSED["kosmos-2"], NAMELESS),
        (REFUSED["instructblip of old"], NAMELESS),
        (REFUSED["janus"], "drops logits processors"),
    ],
)
def test_refused_before_weights_are_read(config: Any, reason: str, tmp_path: Path) -> None:
    config.save_pretrained(tmp_path / "model")  # there are none
    with pytest.raises(UserError, match=reason) as refusal:
        load_model(str(tmp_path / "model"))
    assert config.model_type in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_family_nobody_verified_is_served_all_the_same() -> None:
    config: Any = LlavaConfig()
    config.model_type = "llava_of_tomorrow"
    refuse_unserved(config, "some/model")
    assert family_of(config).tier == "-"


def test_published_prompts_stand_in_for_a_chat_template() -> None:
    assert build("paligemma").render("is there a dog ?") == "<image>answer en is there a dog ?"
    assert build("blip_2").render("is there a dog ?") == "Question: is there a dog ? Answer:"
    llava, qwen = build("llava"), build("qwen2_vl")
    llava.processor.chat_template = qwen.processor.chat_template = None
    assert llava.render("is there a dog ?") == "USER: <image>\nis there a dog ? ASSISTANT:"
    with pytest.raises(UserError, match="has no chat template, and a prompt published"):
        qwen.render("is there a dog ?")
