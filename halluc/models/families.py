"""Facts about families of models that transformers does not tell, in a line or two for each.

Everything else the adapter asks the model itself. A family that is not listed is served the same
way; the list says what was verified, and tests hold each entry to it on a tiny model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from halluc.errors import UserError


@dataclass(frozen=True)
class Family:
    """One family of models, and how it differs from others.

    Attributes:
        tier: "A": all seams; "B": image tokens have no place in the image; "C": some layers cannot
            be reached or hold no image; "-": not verified.
        token: What an image token stands for: one "patch" of the vision tower, several patches
            "merged", a learned "query", or nothing, as "keys" of layers of their own hold the
            image.
        alone: Why prompts about one image cannot share its reading.
        template: The prompt published for checkpoints without a chat template.
        note: What a reader of results should know.
    """

    tier: Literal["A", "B", "C", "-"] = "-"
    token: Literal["patch", "merged", "query", "keys"] = "merged"
    alone: str = ""
    template: str | None = None
    note: str = ""


_VICUNA = "USER: {image}\n{prompt} ASSISTANT:"
_MROPE = "positions of image tokens are two-dimensional (M-RoPE)"
_TILES = "large images are cut into tiles"
_DEEPSTACK = f"{_MROPE}; early layers add image features to the residual stream (DeepStack)"

FAMILIES = {
    "aya_vision": Family("A", note=_TILES),
    "blip-2": Family(
        "B", "query", "its generate() needs the image", "Question: {prompt} Answer:", "Q-Former"
    ),
    "cohere2_vision": Family("A", note=_TILES),
    "gemma3": Family("A", note="an image's tokens see each other; sliding windows"),
    "glm4v": Family("A", note=_MROPE),
    "idefics2": Family("B", "query", note="Perceiver resampler"),
    "idefics3": Family("A", note=_TILES),
    "instructblip": Family("B", "query", "its Q-Former reads the question", "{prompt}", "Q-Former"),
    "internvl": Family("A", note=_TILES),
    "lfm2_vl": Family("A", note=f"{_TILES}; convolution layers cannot be reached"),
    "llava": Family("A", "patch", template=_VICUNA),
    "llava_next": Family("A", "patch", note=f"{_TILES}, laid out on one grid"),
    "llava_onevision": Family("A", "patch", note=f"{_TILES}, laid out on one grid"),
    "mistral3": Family("A"),
    "mllama": Family("C", "keys", "no prompt holds its image", note="cross-attention layers"),
    "ovis2": Family(
        "A", alone="the mark behind an image is embedded with it",
        note=f"{_TILES}; an image token is a mixture of visual words",
    ),
    "paligemma": Family(
        "A", "patch", "its image tokens see the question", "{image}answer en {prompt}",
        note="all tokens of a prompt see each other",
    ),
    "qwen2_5_vl": Family("A", note=f"{_MROPE}; windows in the vision tower"),
    "qwen2_vl": Family("A", note=_MROPE),
    "qwen3_5": Family("C", note=f"{_MROPE}; linear-attention layers cannot be reached"),
    "qwen3_vl": Family("A", note=_DEEPSTACK),
    "qwen3_vl_moe": Family("A", note=_DEEPSTACK),
    "smolvlm": Family("A", note=_TILES),
    "vipllava": Family("A", "patch", template="###Human: {image}\n{prompt}###Assistant:"),
}  # fmt: skip

_REFUSED = {
    "janus": "its own generate() drops logits processors, which read yes and no and join streams",
}


def family_of(config: Any) -> Family:
    """Return the family of a model, by its configuration."""
    return FAMILIES.get(getattr(config, "model_type", ""), Family())


def refuse_unserved(config: Any, model: str) -> None:
    """Refuse a model that no seam could serve, by its configuration alone.

    Args:
        config: The model's transformers configuration.
        model: Its name, for the message.

    Raises:
        UserError: If it has no decoder-only language model or no image token in its prompt.
    """
    kind = getattr(config, "model_type", "?")
    if kind in _REFUSED:
        raise UserError(f"model {model!r} ({kind}) cannot be served: {_REFUSED[kind]}")
    decoder_only = getattr(config, "use_decoder_only_language_model", True)
    text = config.get_text_config()
    if config.is_encoder_decoder or text.is_encoder_decoder or not decoder_only:
        raise UserError(
            f"model {model!r} ({kind}) is an encoder-decoder: its image tokens are read by an "
            "encoder, where no method acts; give a decoder-only model"
        )
    if getattr(config, "image_token_id", None) is None:
        raise UserError(
            f"model {model!r} ({kind}): its configuration names no image token (image_token_id), "
            "so image tokens cannot be told from text; give a model whose image tokens stand in "
            "the prompt, or a newer revision of this one"
        )
