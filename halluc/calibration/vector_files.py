"""Vectors that `halluc calibrate` has written next to a calibration."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from halluc.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Params = TypeVar("Params")


def hashed(params: Params, method: str) -> Params:
    """Record what a method's file of vectors holds, so that another file is another run.

    Args:
        params: With `vectors`, the file or None, and `vectors_hash`, the hash it should have.

    Raises:
        UserError: If the file cannot be read, or is not the one expected.
    """
    given: Any = params
    if given.vectors is None:
        return params
    try:
        found = hashlib.sha256(Path(given.vectors).read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise UserError(
            f"method {method!r}: vectors {given.vectors!r} cannot be read; "
            f"'halluc calibrate --method {method}' writes such a file"
        ) from error
    if given.vectors_hash not in (None, found):
        raise UserError(
            f"method {method!r}: vectors {given.vectors!r} hash to {found}, not "
            f"{given.vectors_hash}; leave out vectors_hash to use them"
        )
    filled: Params = given.model_copy(update={"vectors_hash": found})
    return filled


def read_vectors(
    file: str | None, shapes: Mapping[str, tuple[int | None, ...]], method: str
) -> dict[str, Tensor]:
    """Read the named vectors of a file; none without a file.

    Args:
        shapes: By name, the shape they must have; None: any length.

    Raises:
        UserError: If one is missing, or is of another model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if file is None:
        return {}
    try:
        held = load_file(file)
    except (OSError, SafetensorError) as error:
        raise UserError(f"method {method!r}: {file!r} is no file of vectors") from error
    for name, shape in shapes.items():
        own = tuple(held[name].shape) if name in held else ()
        if len(own) != len(shape) or not all(
            wanted in (None, size) for wanted, size in zip(shape, own, strict=True)
        ):
            raise UserError(
                f"method {method!r}: {file!r} holds no {name!r} that fits this model; "
                f"'halluc calibrate --method {method}' measures it"
            )
    return {name: held[name] for name in shapes}
