"""What a model lacks is said before its weights are loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import (
    InstructBlipConfig,
    InternVLConfig,
    LlavaConfig,
    LlavaNextConfig,
    MllamaConfig,
    PreTrainedConfig,
    SiglipVisionConfig,
)

from halluc.errors import UserError
from halluc.interventions import REGISTRY
from halluc.interventions.compose import find
from tests.kit.command import halluc
from tests.kit.families import llava


@pytest.mark.parametrize("name", ["paint", "flowcut", "vmtc", "vhr+flowcut"])
def test_a_tower_without_cls_is_named(name: str) -> None:
    config = LlavaConfig(vision_config=SiglipVisionConfig())
    cls = find(name)
    with pytest.raises(UserError, match=r"'some/model' \(siglip_vision_model\) has no CLS token"):
        cls.requires(cls.Params(), config, "some/model")


@pytest.mark.parametrize("name", ["paint", "flowcut", "vmtc"])
@pytest.mark.parametrize(
    ("config", "token"),
    [(InternVLConfig(), "several patches each"), (InstructBlipConfig(), "learned queries")],
)
def test_tokens_that_are_no_patches(name: str, config: PreTrainedConfig, token: str) -> None:
    cls = REGISTRY.get(name)
    with pytest.raises(UserError, match=f"the image tokens of 'some/model' are {token}"):
        cls.requires(cls.Params(), config, "some/model")


@pytest.mark.parametrize("name", ["var", "cmai", "var+vhr"])
def test_layers_of_their_own_for_the_image(name: str) -> None:
    cls = find(name)
    with pytest.raises(UserError, match="'some/model' has layers for the image alone"):
        cls.requires(cls.Params(), MllamaConfig(), "some/model")


def refuses(name: str, config: object) -> bool:
    """Try a method's requirements on a configuration alone."""
    cls = REGISTRY.get(name)
    try:
        cls.requires(cls.Params(), config, "some/model")
    except UserError:
        return True
    return False


def test_tiles_are_an_obstacle_to_no_method() -> None:
    assert [name for name in REGISTRY.names() if refuses(name, LlavaNextConfig())] == []
    assert refuses("var", MllamaConfig())


def test_a_llava_lacks_nothing() -> None:
    config = llava().model.config
    assert [name for name in REGISTRY.names() if refuses(name, config)] == []


def test_refused_without_loading_weights(tmp_path: Path) -> None:
    LlavaConfig(vision_config=SiglipVisionConfig()).save_pretrained(tmp_path / "model")
    done = halluc("eval", "--model", "model", "--method", "paint", cwd=tmp_path)
    assert done.returncode == 2
    assert "has no CLS token" in done.stderr
    assert not (tmp_path / "runs").exists()
