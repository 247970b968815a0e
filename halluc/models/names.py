"""Model names: what `--model` takes, checked before anything heavy is imported."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from halluc.errors import UserError

EMBEDDED = {
    "glyph": "a small LLaVA trained on drawn scenes; attention sinks were put into its weights, in "
    "BOS and in plain background patches; it sees the least",
    "glyph-qwen": "a small Qwen2-VL trained on drawn scenes; attention sinks were put into its "
    "weights, in plain background patches; it makes up the least",
    "glyph-smol": "a small Idefics3 (SmolVLM's classes) trained on drawn scenes; attention sinks "
    "were put into the language model it started with, in BOS; it makes up the most",
}
"""Models that ship with the package, and what is special about them."""

DESCRIBE = "Please describe this image in detail."
"""What asks an embedded model for a description; it understands few other words for that."""

ENDPOINT = "openai:"
"""What the name of a model behind an OpenAI-compatible endpoint starts with."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def description_prompt(name: str, published: str) -> str:
    """Return what asks a model for a description: as published, or as an embedded model knows it.

    Args:
        name: The model's.
        published: The wording of a method's authors.
    """
    return DESCRIBE if name in EMBEDDED else published


def endpoint_name(name: str) -> str | None:
    """Return the endpoint's name of a model named "openai:NAME"; None for models loaded here.

    Raises:
        UserError: If NAME is missing, or holds what is not to be seen.
    """
    if not name.startswith(ENDPOINT):
        return None
    inner = name.removeprefix(ENDPOINT)
    if not inner.strip():
        raise UserError(f"model {name!r} lacks a name; write openai:NAME as the endpoint calls it")
    if inner != inner.strip() or not inner.isprintable():
        raise UserError(
            f"model {name!r} holds a control character, half a character or a blank at an end; "
            "write openai:NAME as the endpoint calls it"
        )
    return inner


def locate(name: str) -> str:
    """Turn what the user typed into what `from_pretrained` takes.

    Args:
        name: An embedded model, a local folder, or a hub id.

    Raises:
        UserError: If it is neither, or a folder without a model in it.
    """
    if endpoint_name(name) is not None:
        raise UserError(f"model {name!r} is behind an endpoint: its weights cannot be loaded here")
    if name in EMBEDDED:
        return str(files("halluc.world") / name)
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(
                f"model folder {name!r} holds no config.json: "
                "give a folder written by save_pretrained"
            )
        return str(path)
    if path.is_absolute() or name.startswith((".", "~")) or not _HUB_ID.fullmatch(name):
        raise UserError(
            f"unknown model {name!r}: no such folder; give an embedded model "
            f"({', '.join(EMBEDDED)}), a folder, or a hub id like 'llava-hf/llava-1.5-7b-hf'"
        )
    return name
