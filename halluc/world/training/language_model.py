"""Start with the language model of another embedded model."""

from __future__ import annotations

import torch
from transformers import AutoModelForImageTextToText

from halluc.models.names import locate
from halluc.world.training.architectures import Architecture
from halluc.world.training.tokenizer import build_tokenizer


def take_language_model(architecture: Architecture, name: str) -> None:
    """Copy a shipped model's language model into one of the same shape, word for word.

    Words that the other model lacks (tokens around images) keep their initial rows. Where one has
    biases in the output of attention and the other has not (Qwen2), they are left out.

    Args:
        architecture: The model, changed in place.
        name: The embedded model to start from.
    """
    source = AutoModelForImageTextToText.from_pretrained(locate(name))
    given = source.get_decoder().state_dict()
    taken = architecture.decoder.state_dict()
    common = len(build_tokenizer())
    for key, weight in taken.items():
        if key == "embed_tokens.weight":
            weight[:common] = given[key][:common]
        else:
            weight.copy_(given[key])
    with torch.no_grad():
        architecture.decoder.load_state_dict(taken)
