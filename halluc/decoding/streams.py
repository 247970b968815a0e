"""Model inputs as a method wants them decoded: further streams, fewer image tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from halluc.interventions.context import MAIN, BatchState
from halluc.interventions.shared_prefix import Attention
from halluc.interventions.vision_hooks import thinning
from halluc.models.vision_tower import without_gaps

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import Batch, Method
    from halluc.models import VisionLanguageModel


def decoding_streams(
    model: VisionLanguageModel, method: Method, batch: Batch
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Stack the method's further streams below the main one; return inputs and names."""
    if "streams" not in method.declared():
        return dict(batch.inputs), (MAIN,)
    others = method.streams(batch, model)
    return model.stacked(batch.inputs, *others.values()), (MAIN, *others)


def encoded_images(
    model: VisionLanguageModel, method: Method, batch: Batch, inputs: dict[str, Any]
) -> tuple[dict[str, Any], Attention]:
    """Encode images ahead where the method thins out their tokens; else leave that to `generate`.

    Args:
        inputs: Of all streams, or of the prefixes that are read for several prompts.

    Each is encoded alone: how many patches a layer drops may then depend on the image.

    Returns:
        Inputs whose placeholders match the tokens left, and the CLS attention recorded meanwhile.
    """
    if "image_tokens" not in method.declared():
        return inputs, {}
    features: list[Tensor] = []
    attention: Attention = {}
    memory = BatchState.of_inputs(model, inputs, batch)
    memory.method = method.begin(batch)
    for image in model.image_inputs(inputs):
        found: Attention = {}
        with thinning(model, method, memory, found, image):
            output = model.encode_images(image)
        features += [without_gaps(tokens) for tokens in output.pooler_output]
        for layer, tokens in found.items():
            attention.setdefault(layer, []).extend(tokens)
    output.pooler_output = features
    shrunk = model.shrunk(inputs, [len(tokens) for tokens in features])
    return shrunk | {"mm_encoder_outputs": {"image": output}}, attention
