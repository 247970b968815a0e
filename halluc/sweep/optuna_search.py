"""Points that Optuna proposes, in a study kept with the sweep."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.config import content_hash
from halluc.errors import UserError
from halluc.provenance import versions

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
    config: SweepConfig,
    folder: Path,
    about: str,
    measure: Callable[[Mapping[str, Any]], Outcome],
) -> list[Outcome]:
    """Try `config.trials` points, each where the ones before make it look best.

    An interrupted search continues with the point it was at, and proposes from there what it would
    have proposed.

    Args:
        folder: Where the study is kept.
        about: The model; with halluc's sources it names the study, so that a search never continues
            from the results of other code or weights.

    Returns:
        The distinct points in the order they were tried.
    """
    require_optuna()
    import optuna
    from optuna.trial import TrialState

    folder.mkdir(parents=True, exist_ok=True)
    goal = config.goal
    study = optuna.create_study(
        study_name=content_hash([about, versions("", "")]),
        storage=f"sqlite:///{folder.resolve() / 'search.db'}",
        direction="maximize" if goal.metric.higher_is_better else "minimize",
        load_if_exists=True,
    )
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    outcomes: dict[str, Outcome] = {}
    for trial in study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED)):
        point = _point(config, trial.params)
        outcomes[json.dumps(point)] = measure(point)
    tried = len(study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED)))
    for number in range(tried, config.trials):
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
