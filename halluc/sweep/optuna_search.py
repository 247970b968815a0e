"""Points that Optuna proposes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError

if TYPE_CHECKING:
    import optuna

    from halluc.sweep.axes import Axis
    from halluc.sweep.point_results import Outcome
    from halluc.sweep.sweep_config import SweepConfig


def require_optuna() -> None:
    """Refuse if Optuna is not installed.

    Raises:
        UserError: If it is not.
    """
    try:
        import optuna
    except ImportError:
        raise UserError("--search tpe needs Optuna: pip install 'halluc[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def search_points(
    config: SweepConfig, measure: Callable[[Mapping[str, Any]], Outcome]
) -> list[Outcome]:
    """Try `config.trials` points, each where the ones before make it look best.

    A search that is started again proposes the same points, as its sampler is seeded by each
    point's number; their answers are kept, so an interrupted search goes on where it was.

    Returns:
        The distinct points in the order they were tried.
    """
    require_optuna()
    import optuna
    from optuna.trial import TrialState

    goal = config.goal
    study = optuna.create_study(
        direction="maximize" if goal.metric.higher_is_better else "minimize"
    )
    outcomes: dict[str, Outcome] = {}
    for number in range(config.trials):
        study.sampler = optuna.samplers.TPESampler(seed=number)
        proposal = study.ask()
        for axis in config.axes:
            _suggest(proposal, axis)
        point = _point(config, proposal.params)
        key = json.dumps(point)
        result = outcomes[key] = outcomes.get(key) or measure(point)
        value = result.values[str(goal)].value
        for text, bound in zip(config.constraint, config.bounds, strict=True):
            excess = bound.excess(result.values[str(bound.goal)].value)
            proposal.set_constraint(text, min(excess, 1e9))  # its storage takes no infinity
        defined = value == value
        study.tell(proposal, value if defined else None, None if defined else TrialState.PRUNED)
    return list(outcomes.values())


def _suggest(trial: optuna.Trial, axis: Axis) -> None:
    """Propose any number of a range, and of anything else the position of one of its values."""
    if axis.interval is not None:
        trial.suggest_float(axis.name, *axis.interval)
    elif axis.ordered:
        trial.suggest_int(axis.name, 0, len(axis.values) - 1)
    else:
        trial.suggest_categorical(axis.name, range(len(axis.values)))


def _point(config: SweepConfig, params: Mapping[str, Any]) -> dict[str, Any]:
    return {
        axis.name: params[axis.name] if axis.interval else axis.values[params[axis.name]]
        for axis in config.axes
    }
