"""Scope of other parameter values: for the length of a `with`, then the model's own again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.models import VisionLanguageModel


@contextmanager
def scoped_weights(model: VisionLanguageModel, values: Mapping[str, Tensor]) -> Iterator[None]:
    """Swap parameters for others of the same shape; the model's own are put back bit for bit.

    Args:
        values: By the parameter's name in `model.model`.

    Raises:
        ValueError: If a parameter does not exist, or its shape or dtype differs.
    """
    parameters = dict(model.model.named_parameters(remove_duplicate=False))
    for name, value in values.items():
        parameter = parameters.get(name)
        if parameter is None:
            raise ValueError(f"{model.name} has no parameter {name!r}")
        if parameter.shape != value.shape or parameter.dtype != value.dtype:
            raise ValueError(
                f"{model.name}: parameter {name!r} is {tuple(parameter.shape)} {parameter.dtype}, "
                f"not {tuple(value.shape)} {value.dtype}"
            )
    before = {name: parameters[name].data for name in values}
    try:
        for name, value in values.items():
            parameters[name].data = value.to(before[name].device)
        yield
    finally:
        for name, data in before.items():
            parameters[name].data = data
