"""Which heads a method helps, tried one head at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from halluc.errors import UserError
from halluc.interventions import Method, MethodParams

if TYPE_CHECKING:
    from halluc.calibration.calibrator import Calibrator
    from halluc.interventions.requirements import Heads

Gains = dict[tuple[int, int], float]


def gains(
    calibrator: Calibrator, build: Callable[[Heads], Method], layers: Collection[int]
) -> Gains:
    """How much better than no head at all the method does on each single head.

    Args:
        build: Makes the method for some heads.
        layers: Layers to try.

    Returns:
        (layer, head) to its gain in `Measure.merit`.
    """
    base = calibrator.measure(Method(MethodParams())).merit
    return {
        (layer, head): calibrator.measure(build({layer: (head,)})).merit - base
        for layer in layers
        for head in range(calibrator.model.n_heads)
    }


def chosen(found: Gains, n: int | None = None) -> Heads:
    """Heads with a gain above 0 by layer, the n best of them.

    Raises:
        UserError: If there is none.
    """
    best = sorted((key for key, gain in found.items() if gain > 0), key=lambda key: -found[key])
    if not best:
        raise UserError("no head helps on these samples; calibrate on others, or on more")
    heads: dict[int, list[int]] = {}
    for layer, head in sorted(best[:n]):
        heads.setdefault(layer, []).append(head)
    return {layer: tuple(members) for layer, members in heads.items()}
