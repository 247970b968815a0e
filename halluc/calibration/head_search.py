"""Search for the heads in which a method helps, one head at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from halluc.errors import UserError
from halluc.interventions import Method, no_method

if TYPE_CHECKING:
    from halluc.calibration.calibrator import Calibrator
    from halluc.interventions.requirements import Heads

Gains = dict[tuple[int, int], float]


def gains(
    calibrator: Calibrator, build: Callable[[Heads], Method], layers: Collection[int]
) -> Gains:
    """Measure how much each single head gains by the method.

    Args:
        build: Makes the method for some heads.
        layers: Layers to try.

    Returns:
        By (layer, head), the gain in `Measure.merit` over no method at all.
    """
    base = calibrator.measure(no_method()).merit
    return {
        (layer, head): calibrator.measure(build({layer: (head,)})).merit - base
        for layer in layers
        for head in range(calibrator.model.n_heads)
    }


def chosen(measured: Gains, n: int | None = None) -> Heads:
    """Choose heads with a gain above 0, by layer.

    Args:
        measured: From `gains`.
        n: The most heads to choose, the best ones; None for no limit.

    Raises:
        UserError: If no head gains anything.
    """
    helpful = (key for key, gain in measured.items() if gain > 0)
    best = sorted(helpful, key=lambda key: -measured[key])
    if not best:
        raise UserError("no head helps on these samples; calibrate on others, or on more")
    heads: dict[int, list[int]] = {}
    for layer, head in sorted(best[:n]):
        heads.setdefault(layer, []).append(head)
    return {layer: tuple(members) for layer, members in heads.items()}
