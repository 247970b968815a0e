"""A model that lacks what a method needs is refused with the reason."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from halluc.errors import UserError
from halluc.interventions import REGISTRY
from halluc.interventions.compose import find
from halluc.interventions.requirements import needs_reached_layers
from halluc.models import VisionLanguageModel
from halluc.validation import key_values
from tests.kit.families import build, llava


def like_llava(**config: Any) -> VisionLanguageModel:
    """A tiny LLaVA whose configuration says something else; no weights are looked at."""
    real = llava()
    known = {
        key: getattr(real.model.config, key)
        for key in ("model_type", "vision_config", "vision_feature_layer")
    }
    text = real.model.config.get_text_config()
    changed = SimpleNamespace(**known | config, get_text_config=lambda: text)
    return VisionLanguageModel("other", SimpleNamespace(config=changed), real.processor)


@pytest.mark.parametrize("name", ["flowcut", "vmtc", "paint"])
def test_no_cls_token(name: str) -> None:
    model = like_llava(vision_config=SimpleNamespace(model_type="siglip_vision_model"))
    with pytest.raises(UserError, match=r"'other' \(siglip_vision_model\) has no CLS token"):
        resolve(name, model)


@pytest.mark.parametrize("name", ["flowcut", "vmtc"])
def test_several_feature_layers(name: str) -> None:
    with pytest.raises(UserError, match="does not read exactly one"):
        resolve(name, like_llava(vision_feature_layer=[-2, -1]))


@pytest.mark.parametrize("family", ["paligemma", "instructblip"])
def test_a_prompt_that_starts_with_the_image(family: str) -> None:
    resolve("zerotuning", llava())
    with pytest.raises(UserError, match=f"a prompt of 'tiny-{family}' starts with the image"):
        resolve("zerotuning", build(family))


@pytest.mark.parametrize("name", ["act", "zerotuning"])
def test_heads_and_layers_the_model_lacks(name: str) -> None:
    model = llava()
    with pytest.raises(UserError, match="heads names layer 4; 'tiny-llava' has layers 0 to 3"):
        resolve(name, model, heads={4: [0]})
    with pytest.raises(UserError, match="head 4 of layer 1; 'tiny-llava' has heads 0 to 3"):
        resolve(name, model, heads={1: [0, 4]})
    with pytest.raises(UserError, match="first_layer 3 to last_layer 2 is not a range"):
        resolve(name, model, first_layer=3, last_layer=2)


def test_layers_out_of_reach() -> None:
    model = build("qwen3_5")  # full attention in layers 1 and 2
    vhr, act = REGISTRY.get("vhr"), find("zerotuning+vhr")
    needs_reached_layers(vhr(vhr.Params(layers=(0, 1))), model)  # type: ignore[call-arg]
    with pytest.raises(UserError, match=r"'vhr' acts in layers 0, 3; .* in 1, 2"):
        needs_reached_layers(vhr(vhr.Params(layers=(0, 3))), model)  # type: ignore[call-arg]
    both = act.Params(zerotuning={"last_layer": 2}, vhr={"layers": (3,)})  # type: ignore[call-arg]
    with pytest.raises(UserError, match="'vhr' acts in layers 3;"):
        needs_reached_layers(act(both), model)


def test_heads_can_be_typed() -> None:
    typed = key_values('heads={"1":[0,2],"3":[1]},beta=0.5', "--params")
    params = REGISTRY.get("act").Params(**typed)
    assert params.heads == {1: (0, 2), 3: (1,)}  # type: ignore[attr-defined]
    assert params.beta == 0.5  # type: ignore[attr-defined]
    assert params.model_dump(mode="json")["heads"] == {"1": [0, 2], "3": [1]}


def resolve(name: str, model: VisionLanguageModel, **params: Any) -> None:
    cls = REGISTRY.get(name)
    cls.requires(cls.Params(**params), model.model.config, model.name)
    cls.resolve(cls.Params(**params), model)
