"""Load any `AutoModelForImageTextToText` with its processor."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from halluc.errors import UserError
from halluc.models.adapter import VisionLanguageModel
from halluc.models.families import refuse_unserved
from halluc.models.names import locate


def load_config(name: str, revision: str | None = None) -> Any:
    """Load a model's configuration alone.

    Raises:
        UserError: If it cannot be found, is no configuration transformers knows, or is of a model
            that no method could act on.
    """
    kwargs = {"revision": revision} if revision else {}
    try:
        config = AutoConfig.from_pretrained(locate(name), **kwargs)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"model {name!r} cannot be loaded: {reason}") from error
    refuse_unserved(config, name)
    return config


def load_model(
    name: str, *, revision: str | None = None, dtype: str = "auto", device: str = "auto"
) -> VisionLanguageModel:
    """Load a model and its processor, ready for inference.

    Args:
        name: "glyph", a hub id or a local folder.
        revision: Commit, tag or branch of a hub model.
        dtype: "auto" (float32 on a CPU, else the checkpoint's own), or as in `ModelConfig`.
        device: "auto" (CUDA if there is one), "cpu", "cuda", "cuda:1", ...

    Raises:
        UserError: If it cannot be found, or is not a vision-language model.
    """
    load_config(name, revision)
    path = locate(name)
    device = _device(device)
    kwargs: dict[str, Any] = {"revision": revision} if revision else {}
    try:
        processor = AutoProcessor.from_pretrained(path, **kwargs)
        model = AutoModelForImageTextToText.from_pretrained(
            path, dtype=_dtype(dtype, device), **kwargs
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"model {name!r} cannot be loaded: {reason}") from error
    model.eval()
    torch.nn.Module.to(model, torch.device(device))
    return VisionLanguageModel(name=name, model=model, processor=processor, revision=revision)


def _device(device: str) -> str:
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def _dtype(dtype: str, device: str) -> torch.dtype | str:
    if dtype == "auto":
        return torch.float32 if device == "cpu" else "auto"
    found: torch.dtype = getattr(torch, dtype)
    return found
