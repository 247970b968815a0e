"""Model inputs as a method wants them decoded: further streams, fewer image tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from halluc.interventions.shared_prefix import Attention
from halluc.interventions.vision_hooks import thinning
from halluc.models.vision_tower import without_gaps

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
) -> tuple[dict[str, Any], Attention]:
    """Encode images ahead where the method thins out their tokens; else leave that to `generate`.

    Each is encoded alone: how many patches a layer drops may then depend on the image.

    Returns:
        Inputs whose placeholders match the tokens left, and the CLS attention recorded meanwhile.
    """
    if "tokens" not in method.declared():
        return inputs, {}
    features: list[Tensor] = []
    attention: Attention = {}
    for image in model.image_inputs(inputs):
        found: Attention = {}
        with thinning(model, method, found, image):
            output = model.encode_images(image)
        features += [without_gaps(tokens) for tokens in output.pooler_output]
        for layer, tokens in found.items():
            attention.setdefault(layer, []).extend(tokens)
    output.pooler_output = features
    shrunk = model.shrunk(inputs, [len(tokens) for tokens in features])
    return shrunk | {"mm_encoder_outputs": {"image": output}}, attention
