"""What `halluc eval` says of runs besides their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from halluc.config import BASELINE
from halluc.plain_text import printable

if TYPE_CHECKING:
    from halluc.evaluation import Evaluation

MOST = 0.5
"""From this share of answers that could not be read on, a run's numbers are warned of."""


def remarks(runs: Sequence[Evaluation]) -> Iterator[Text]:
    """Yield a warning for answers that could not be read, and a line for methods without effect."""
    for run in runs:
        name = printable(run.folder.asker.method.name)
        for benchmark, scores in run.scores.items():
            if scores.n and scores.unparseable >= MOST * scores.n:
                yield Text(
                    f"WARNING: {scores.unparseable} of {scores.n} answers of {name} to {benchmark} "
                    f"could not be read, so its numbers mean nothing; 'halluc show "
                    f"{printable(run.folder.path)}' shows them.",
                    "bold red",
                )
    baselines = {
        run.folder.asker.setting: run for run in runs if run.folder.asker.method.name == BASELINE
    }
    for run in runs:
        baseline = baselines.get(run.folder.asker.setting)
        if baseline is None or baseline is run:
            continue
        same = [name for name in run.scored if _texts(run, name) == _texts(baseline, name)]
        if same:
            where = "" if len(same) == len(run.scored) else f" to {', '.join(same)}"
            name = printable(run.folder.asker.method.name)
            yield Text(f"{name} changed no answer{where}: all are the baseline's.", "yellow")


def _texts(run: Evaluation, benchmark: str) -> dict[str, str]:
    return {reading.id: reading.text for reading in run.scored[benchmark].readings}
