"""Errors of one line, made of whatever transformers and torch raise where a model is loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pickle import UnpicklingError

from huggingface_hub.utils.tqdm import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from safetensors import SafetensorError
from transformers.utils import logging

from halluc.errors import UserError
from halluc.plain_text import printable

ALLOW_PICKLES = (
    "a pickle can hold code as well as numbers: save it as safetensors, or, if you trust where it "
    "comes from, allow it by --model-args pickled_weights=true"
)

_SPEAKING = (OSError, ValueError, RuntimeError, ImportError, TypeError, AttributeError)
"""Errors whose messages can be read without their names."""


_MISSING = "Missing optional dependencies:"
"""What transformers says before the packages that an image processor lacks."""

_FAMILIES = re.compile(r"\b(torchvision|num2words)\b", re.IGNORECASE)


@contextmanager
def in_one_line(what: str, hint: str = "") -> Iterator[None]:
    """Turn whatever is raised into one line, and keep transformers' own reports away.

    Args:
        what: The thing that is loaded.
        hint: What would be right, in place of transformers' own advice.
    """
    verbosity = logging.get_verbosity()
    bars, hub_bars = logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if hub_bars:  # a download is worth a bar, weights read from a file are not
        enable_progress_bars()
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a broken file makes readers raise anything
        reason = reason_of(error)
        if hint and not (_MISSING in str(error) or _extra(str(error))):
            reason = f"{reason.split('. ')[0]}; {hint}"
        raise UserError(f"{what} cannot be loaded: {reason}") from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
        if not hub_bars:
            disable_progress_bars()


def reason_of(error: Exception) -> str:
    """Say in one line why a thing cannot be loaded."""
    text = str(error).strip()
    if "torchvision::" in text:
        return "torchvision does not fit torch: pip install --upgrade torch torchvision"
    if (package := _extra(text)) is not None:
        return f"its family reads images with {package}: pip install 'halluc[families]'"
    if _MISSING in text:
        packages = text.partition(_MISSING)[2].split(".")[0].strip()
        return f"this version of transformers reads its images with {packages}: install it"
    if "trust_remote_code" in text:
        return "it brings Python code of its own; read it, then allow it by trust_remote_code=true"
    if "use_safetensors=True" in text:
        return f"it has no weights as safetensors; {ALLOW_PICKLES}"
    if isinstance(error, UnpicklingError):
        return (
            "its weights are damaged, or a pickle that holds more than numbers, which is not run; "
            "get them again, as safetensors"
        )
    name = type(error).__name__
    first = printable((text.splitlines() or [name])[0].rstrip(" .:"))
    if isinstance(error, SafetensorError) or "PytorchStreamReader" in first:
        return f"its weights are damaged ({first.split('. ')[0]}); get them again"
    return first if isinstance(error, _SPEAKING) or not text else f"{name}: {first}"


def _extra(text: str) -> str | None:
    """Return the package of the extra "families" that transformers misses, if it says so."""
    found = _FAMILIES.search(text)
    return found[1].lower() if found and find_spec(found[1].lower()) is None else None
