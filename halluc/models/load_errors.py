"""Errors of one line, made of whatever transformers and torch raise where a model is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pickle import UnpicklingError

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


@contextmanager
def in_one_line(what: str, hint: str = "") -> Iterator[None]:
    """Turn whatever is raised into one line, and keep transformers' own reports away.

    Args:
        what: The thing that is loaded.
        hint: What would be right, in place of transformers' own advice.
    """
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a broken file makes readers raise anything
        reason = reason_of(error)
        if hint and _MISSING not in str(error):
            reason = f"{reason.split('. ')[0]}; {hint}"
        raise UserError(f"{what} cannot be loaded: {reason}") from error
    finally:
        logging.set_verbosity(verbosity)


def reason_of(error: Exception) -> str:
    """Say in one line why a thing cannot be loaded."""
    text = str(error).strip()
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
