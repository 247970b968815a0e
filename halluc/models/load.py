"""Load any `AutoModelForImageTextToText` with its processor, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForImageTextToText,
    BitsAndBytesConfig,
)

from halluc.config import ModelConfig
from halluc.errors import UserError, needs_packages
from halluc.models.adapter import VisionLanguageModel
from halluc.models.families import refuse_unserved
from halluc.models.load_errors import ALLOW_PICKLES, in_one_line, reason_of
from halluc.models.names import locate
from halluc.models.processors import load_processor
from halluc.validation import checked

EXAMPLE = "'llava-hf/llava-1.5-7b-hf'"
SYSTEM_PROMPTS = {
    "vicuna": "A chat between a curious human and an artificial intelligence assistant. The "
    "assistant gives helpful, detailed, and polite answers to the human's questions."
}
"""By a short name, what published code puts in front of every prompt (LLaVA's vicuna_v1)."""

_WHOLE = "put all that processor.save_pretrained writes next to the weights"


def load_config(name: str, revision: str | None = None, trust_remote_code: bool = False) -> Any:
    """Load a model's configuration alone.

    Raises:
        UserError: If it cannot be found, is not that of a model that reads images, or is that of a
            model that no method could act on.
    """
    source = _source(ModelConfig(name=name, revision=revision, trust_remote_code=trust_remote_code))
    with in_one_line(f"model {name!r}"):
        config = AutoConfig.from_pretrained(locate(name), **source)
    own_code = getattr(config, "auto_map", None) or {}
    if type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING or own_code:
        refuse_unserved(config, name)
        return config
    kind = config.model_type or "nameless"
    raise UserError(
        f"model {name!r} is a {kind} model, which transformers does not load as one that answers "
        f"questions about images; give one that does, like {EXAMPLE}"
    )


def load_model(name: str, **options: Any) -> VisionLanguageModel:
    """Load a model and its processor, ready for inference.

    Args:
        name: "glyph", a hub id or a local folder.
        options: The other fields of `ModelConfig`: revision, dtype ("auto" is float32 on a CPU,
            else the checkpoint's own), device ("auto" is CUDA if there is one), device_map,
            quantization, attn_implementation, image_aspect, system_prompt, trust_remote_code,
            pickled_weights.

    Raises:
        UserError: If it cannot be found, is broken, is not a vision-language model, or an option
            is wrong or needs a package that is not installed.
    """
    wanted = checked(ModelConfig, {"name": name, **options}, "model")
    placement = _placement(wanted)  # before anything is read
    path, source = locate(name), _source(wanted)
    config = load_config(name, wanted.revision, wanted.trust_remote_code)
    processor = _processor(name, path, config, source)
    weights = _weights(name, path, wanted.pickled_weights)
    load: Any = AutoModelForImageTextToText.from_pretrained
    with in_one_line(f"model {name!r}"):
        model, report = load(
            path,
            **source,
            **placement,
            **weights,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    _refuse_unless_whole(name, report)
    model.eval()
    if "device_map" not in placement:
        torch.nn.Module.to(model, torch.device(_device(wanted.device)))
    loaded = VisionLanguageModel(
        name=name,
        model=model,
        processor=processor,
        revision=wanted.revision,
        image_aspect=wanted.image_aspect,
        system_prompt=SYSTEM_PROMPTS.get(wanted.system_prompt or "", wanted.system_prompt),
    )
    _refuse_unless_reachable(loaded)
    return loaded


def _source(wanted: ModelConfig) -> dict[str, Any]:
    """Return the arguments that configuration, processor and weights are all loaded with."""
    return {"revision": wanted.revision or "main", "trust_remote_code": wanted.trust_remote_code}


def _weights(name: str, path: str, pickled: bool) -> dict[str, Any]:
    """Return the arguments that say in which format weights are read: safetensors, if not told.

    Where pickles are allowed, torch reads tensors from them and executes nothing.

    Raises:
        UserError: If a folder holds pickles alone, and they are not allowed.
    """
    if pickled:
        return {"use_safetensors": None, "weights_only": True}
    folder = Path(path)
    pickles = sorted(file.name for file in folder.glob("pytorch_model*.bin"))
    if pickles and not any(folder.glob("*.safetensors")):
        raise UserError(f"model {name!r} has its weights in {pickles[0]}; {ALLOW_PICKLES}")
    return {"use_safetensors": True}


def _placement(wanted: ModelConfig) -> dict[str, Any]:
    """Return the arguments of `from_pretrained` that say how weights are stored, and on what.

    Raises:
        UserError: If they need a package that is not installed, or contradict each other.
    """
    device = _device(wanted.device)
    arguments: dict[str, Any] = {"dtype": _dtype(wanted.dtype, device)}
    if wanted.attn_implementation == "flash_attention_2":
        needs_packages("attn_implementation=flash_attention_2", "flash_attn")
    if wanted.attn_implementation != "auto":
        arguments["attn_implementation"] = wanted.attn_implementation
    if wanted.device_map is not None:
        needs_packages(f"device_map={wanted.device_map}", "accelerate")
        if wanted.device != "auto":
            raise UserError(
                f"device_map={wanted.device_map} spreads the model over all devices; "
                f"leave out device={wanted.device}"
            )
        arguments["device_map"] = wanted.device_map
    if wanted.quantization is not None:
        needs_packages(f"quantization={wanted.quantization}", "bitsandbytes", "accelerate")
        arguments.setdefault("device_map", {"": device})
        arguments["quantization_config"] = _quantization(wanted.quantization, arguments["dtype"])
    return arguments


def _quantization(kind: str, dtype: torch.dtype | str) -> BitsAndBytesConfig:
    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    compute = dtype if isinstance(dtype, torch.dtype) else torch.bfloat16
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute
    )


def _processor(name: str, path: str, config: Any, source: Mapping[str, Any]) -> Any:
    """Load the processor; refuse it where transformers finds only a part of one."""
    with in_one_line(f"the processor of model {name!r}", hint=_WHOLE):
        processor = load_processor(path, config, **source)
    for part in ("tokenizer", "image_processor"):
        if getattr(processor, part, None) is None:
            raise UserError(f"the processor of model {name!r} has no {part}; {_WHOLE}")
    return processor


def _refuse_unless_whole(name: str, report: Mapping[str, Any]) -> None:
    """Refuse a model with missing weights: transformers draws those it does not find at random."""
    if report["mismatched_keys"]:
        key, stored, wanted = min(report["mismatched_keys"])
        raise UserError(
            f"model {name!r}: {len(report['mismatched_keys'])} weights are not of the shape its "
            f"config.json says, first {key}: {tuple(stored)}, not {tuple(wanted)}"
        )
    if report["missing_keys"]:
        raise UserError(
            f"model {name!r}: its checkpoint lacks {len(report['missing_keys'])} weights, "
            f"first {min(report['missing_keys'])}; get it again or correct its config.json"
        )


def _refuse_unless_reachable(model: VisionLanguageModel) -> None:
    try:
        n_reached = len(model.self_attention | model.cross_attention)
    except (AttributeError, TypeError):
        n_reached = 0
    if not n_reached:
        kind = model.model.config.model_type
        raise UserError(
            f"model {model.name!r}: family {kind!r} is not supported: it has no stack of decoder "
            "layers with self-attention that methods could reach"
        )


def _device(device: str) -> str:
    """Choose the device to load on.

    Raises:
        UserError: If this machine does not have it.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter of builds without that backend
        raise UserError(f"device={device} cannot be used here: {reason_of(error)}") from error
    return device


def _dtype(dtype: str, device: str) -> torch.dtype | str:
    if dtype == "auto":
        return torch.float32 if device == "cpu" else "auto"
    named: torch.dtype = getattr(torch, dtype)
    return named
