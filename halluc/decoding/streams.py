"""Model inputs as a method wants them decoded: further streams, fewer image tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from halluc.interventions.context import MAIN, BatchState
from halluc.interventions.shared_prefix import Attention
from halluc.interventions.vision_hooks import thinning
from halluc.models.vision_tower import without_gaps

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import Batch, Method
    from halluc.models import VisionLanguageModel


class Streams(NamedTuple):
    """Streams that are decoded together.

    Attributes:
        inputs: Model inputs of all streams, stacked [S * B, L].
        names: The S streams' names, "main" first.
    """

    inputs: dict[str, Any]
    names: tuple[str, ...]


class EncodedImages(NamedTuple):
    """Model inputs whose images are encoded, if the method thins out their tokens.

    Attributes:
        inputs: With as many placeholders as there are tokens left.
        attention: The CLS token's attention in the layers the method reads.
    """

    inputs: dict[str, Any]
    attention: Attention


def decoding_streams(model: VisionLanguageModel, method: Method, batch: Batch) -> Streams:
    """Stack the method's further streams below the main one."""
    if "streams" not in method.declared():
        return Streams(dict(batch.inputs), (MAIN,))
    others = method.streams(batch, model)
    return Streams(model.stacked(batch.inputs, *others.values()), (MAIN, *others))


def encoded_images(
    model: VisionLanguageModel, method: Method, batch: Batch, inputs: dict[str, Any]
) -> EncodedImages:
    """Encode images ahead where the method thins out their tokens; else leave that to `generate`.

    Each is encoded alone: how many patches a layer drops may then depend on the image.

    Args:
        inputs: Of all streams, or of the prefixes that are read for several prompts.
    """
    if "image_tokens" not in method.declared():
        return EncodedImages(inputs, {})
    features: list[Tensor] = []
    attention: Attention = {}
    memory = BatchState.of_inputs(model, inputs, batch)
    memory.method = method.begin(batch)
    for image in model.image_inputs(inputs):
        recorded: Attention = {}
        with thinning(model, method, memory, recorded, image):
            output = model.encode_images(image)
        features += [without_gaps(tokens) for tokens in output.pooler_output]
        for layer, tokens in recorded.items():
            attention.setdefault(layer, []).extend(tokens)
    output.pooler_output = features
    shrunk = model.shrunk(inputs, [len(tokens) for tokens in features])
    return EncodedImages(shrunk | {"mm_encoder_outputs": {"image": output}}, attention)
