"""Images handed over encoded, also to transformers before 5.18.

Since then models take encoded images (`mm_encoder_outputs`), and `generate` encodes an image once
however many beams there are. Before, the prompt has to be embedded here.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
import transformers

from halluc.errors import UserError

if TYPE_CHECKING:
    from halluc.models.adapter import VisionLanguageModel
    from halluc.models.inputs import Inputs

ENCODED = "mm_encoder_outputs"


def embedded(
    model: VisionLanguageModel, inputs: dict[str, Any], encode: bool = False
) -> dict[str, Any]:
    """Return the inputs in a form that this version of transformers takes.

    Args:
        inputs: Of any number of rows; encoded images among them or not.
        encode: Encode images that are not encoded yet, so that `generate` does so only once.

    Returns:
        The inputs as they are, or token ids next to the embedded prompt [B, L, D], with the image
        features at the image tokens.
    """
    if ENCODED in inspect.signature(model.model.forward).parameters:
        return inputs
    if ENCODED in inputs:
        output = inputs[ENCODED]["image"]
    elif encode:
        output = model.encode_images(inputs)
    else:
        return inputs
    ids = inputs["input_ids"]
    embeddings = model.model.get_input_embeddings()(ids)
    features = torch.cat(list(output.pooler_output)).to(embeddings)
    image_mask = model.prompt_tokens(inputs).image_mask[:, :, None]
    kept = {key: inputs[key] for key in ("attention_mask", "position_ids") if key in inputs}
    return kept | {
        "input_ids": ids,
        "inputs_embeds": embeddings.masked_scatter(image_mask, features),
    }


def reads_encoded(model: VisionLanguageModel, inputs: Inputs) -> bool:
    """Return whether this version of transformers reads encoded images as it reads pixels.

    Before 5.18 it does not where positions depend on images (M-RoPE), or where `generate` takes no
    embeddings.
    """
    own = model.model
    if ENCODED in inspect.signature(own.forward).parameters:
        return True
    prepares = inspect.signature(own.prepare_inputs_for_generation).parameters
    needs_pixels = "pixel_values" in inspect.signature(own.generate).parameters
    if needs_pixels or "inputs_embeds" not in prepares:
        return False
    with torch.no_grad():
        ready = embedded(model, dict(inputs), encode=True)
        ready.pop("input_ids")
        one, other = (own(**given, logits_to_keep=1).logits[:, -1] for given in (inputs, ready))
    return torch.allclose(one.float(), other.float(), atol=1e-2, rtol=1e-2)


def refuse_mixed_tiles(model: VisionLanguageModel, inputs: Inputs) -> None:
    """Refuse beams over tiles where transformers mixes tiles of several images up.

    Before it took encoded images it repeated every tile where it stood, for each beam.

    Raises:
        UserError: If some image has several tiles and this transformers would mix them.
    """
    if ENCODED in inspect.signature(model.model.forward).parameters or ENCODED in inputs:
        return
    images = int((model.n_image_tokens(inputs) > 0).sum())
    by_row = model.family.token == "keys" or "image_grid_thw" in inputs
    if not by_row and len(inputs.get("pixel_values", ())) > images:
        raise UserError(
            f"transformers {transformers.__version__} mixes up the tiles of {model.name!r}'s "
            "images under beams; decode without them, or update transformers"
        )


def forwarded(model: VisionLanguageModel, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return inputs for a bare forward pass, which takes embeddings in place of ids."""
    taken = embedded(model, inputs)
    dropped = "input_ids" if "inputs_embeds" in taken else None
    return {key: value for key, value in taken.items() if key != dropped}
