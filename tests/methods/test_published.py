"""Which checkpoints get published numbers, told by configurations that look like theirs."""

from __future__ import annotations

from typing import Any

import pytest

from halluc.errors import UserError
from halluc.methods._image_heads import published_layers
from halluc.methods._sinks import published_sinks
from tests.kit.asking import prepared
from tests.kit.families import llava
from tests.kit.families.parts import config

_7B = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32}
_13B = {"hidden_size": 5120, "num_hidden_layers": 40, "num_attention_heads": 40}
_QWEN = {"hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28}


def checkpoint(family: str, text: dict[str, Any], kind: str = "llama", **more: Any) -> Any:
    """A checkpoint's configuration, without its weights."""
    made = config(kind, **text | more)
    return config(family, text_config=made.to_dict())


CHECKPOINTS: dict[str, tuple[Any, tuple[int, ...] | None, tuple[int, ...] | None]] = {
    "llava-1.5-7b": (
        checkpoint("llava", _7B, vocab_size=32064), (1415, 2533), (1, *range(18, 32)),
    ),
    "llava-v1.6-vicuna-7b": (
        checkpoint("llava_next", _7B, vocab_size=32064), (1415, 2533), (1, *range(18, 32)),
    ),
    "llava-1.5-13b": (checkpoint("llava", _13B, vocab_size=32064), (2100, 4743), None),
    "instructblip-vicuna-7b": (
        checkpoint("instructblip", _7B, vocab_size=32001), None, tuple(range(14, 32)),
    ),
    "llama3-llava-next-8b": (
        checkpoint("llava_next", _7B, vocab_size=128320, num_key_value_heads=8), None, None,
    ),
    "llama-2 of another vocabulary": (
        checkpoint("llava", _7B, vocab_size=64000), None, None,
    ),
    "llava-v1.6-mistral-7b": (
        checkpoint("llava_next", _7B, "mistral", vocab_size=32064, num_key_value_heads=8),
        None, None,
    ),
    "qwen2-vl-7b": (
        checkpoint(
            "qwen2_vl", _QWEN, "qwen2_vl_text", vocab_size=152064, num_key_value_heads=4
        ),
        (458, 2570), None,
    ),
}  # fmt: skip
"""Each with VAR's dimensions and VHR's layers as published; None is measured for the model."""


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_sink_dimensions_are_published_for_the_language_models_of_the_paper_alone(
    name: str,
) -> None:
    made, dims, _ = CHECKPOINTS[name]
    assert published_sinks(made) == dims


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_code_never_leaves_the_dimensions_of_7b(name: str) -> None:
    made, dims, _ = CHECKPOINTS[name]
    llama = dims is not None and made.model_type.startswith("llava")
    assert published_sinks(made, "official_code") == ((1415, 2533) if llama else dims)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_reinforced_layers_are_published_for_the_checkpoints_of_the_paper_alone(
    name: str,
) -> None:
    made, _, layers = CHECKPOINTS[name]
    assert published_layers(made) == layers


@pytest.mark.parametrize(
    ("name", "params", "named"),
    [
        ("var", {"sink_dims": (3, 32)}, "sink_dims names dimension 32"),
        ("var", {"sink_dims": (-1,)}, "sink_dims names dimension -1"),
        ("vhr", {"layers": (1, 4)}, "layers names layer 4"),
        ("vhr", {"layers": (-1, 1)}, "layers names layer -1"),
    ],
)
def test_dimensions_and_layers_the_model_lacks_are_refused_by_name(
    name: str, params: dict[str, Any], named: str
) -> None:
    with pytest.raises(UserError, match=f"method '{name}': {named}"):
        prepared(name, llava(), **params)
