"""Model inputs as a method wants them decoded: further streams, fewer image tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from halluc.interventions.vision import reading_cls, thinning

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import Asked, Method
    from halluc.models import VisionLanguageModel


def decoding_streams(
    model: VisionLanguageModel, method: Method, asked: Asked
) -> tuple[dict[str, Any], int]:
    """The main stream's inputs with the method's others below them, and how many there are."""
    if "streams" not in method.declared():
        return dict(asked.inputs), 1
    others = method.streams(model, asked)
    return model.stacked(asked.inputs, *others), 1 + len(others)


def encoded_images(
    model: VisionLanguageModel, method: Method, inputs: dict[str, Any]
) -> tuple[dict[str, Any], dict[int, Tensor]]:
    """Encode images ahead where the method thins out their tokens; else leave that to `generate`.

    Each is encoded alone: how many patches a layer drops may then depend on the image.

    Returns:
        Inputs whose placeholders match the tokens left, and the CLS attention recorded meanwhile.
    """
    if "tokens" not in method.declared():
        return inputs, {}
    features: list[Tensor] = []
    seen: list[dict[int, Tensor]] = []
    for image in model.image_inputs(inputs):
        found: dict[int, Tensor] = {}
        with reading_cls(model, method.vision_layers, found), thinning(model, method, found):
            output = model.encode_images(image)
        features += output.pooler_output
        seen.append(found)
    output.pooler_output = features
    shrunk = model.shrunk(inputs, [len(tokens) for tokens in features])
    attention = {layer: torch.cat([found[layer] for found in seen]) for layer in seen[0]}
    return shrunk | {"mm_encoder_outputs": {"image": output}}, attention
