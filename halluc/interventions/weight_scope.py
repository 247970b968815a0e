"""Give parameters other values for the length of a `with`; their own are put back bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.models import VisionLanguageModel


@contextmanager
def scoped_weights(model: VisionLanguageModel, values: Mapping[str, Tensor]) -> Iterator[None]:
    """Swap parameters for others of the same shape; nothing is copied, so nothing is rounded back.

    Args:
        values: By the parameter's name in `model.model`.

    Raises:
        ValueError: If there is no such parameter, or its shape or dtype differs.
    """
    parameters = dict(model.model.named_parameters(remove_duplicate=False))
    for name, value in values.items():
        own = parameters.get(name)
        if own is None:
            raise ValueError(f"{model.name} has no parameter {name!r}")
        if own.shape != value.shape or own.dtype != value.dtype:
            raise ValueError(f"{name}: {tuple(value.shape)} {value.dtype} is not the parameter's")
    before = {name: parameters[name].data for name in values}
    try:
        for name, value in values.items():
            parameters[name].data = value.to(before[name].device)
        yield
    finally:
        for name, data in before.items():
            parameters[name].data = data
