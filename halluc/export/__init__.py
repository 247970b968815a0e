"""Runs in the formats of other tools: pure functions of run folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from halluc.errors import UserError
from halluc.export import every_eval_ever, hugging_face, lm_eval
from halluc.export.exported_run import Exported
from halluc.leaderboard.building_rows import rows_of
from halluc.leaderboard.collecting import find_runs
from halluc.store import scored_in

FORMATS = ("lm-eval", "every-eval-ever", "eval-results", "model-index")


def export_runs(
    form: str,
    places: Iterable[Path],
    output: Path,
    organization: str = "unknown",
    dataset: str | None = None,
    source_url: str | None = None,
) -> Iterator[Path]:
    """Write runs in another format, below a folder; yield the files.

    Args:
        form: One of `FORMATS`.
        places: Run folders, or folders of them; a baseline among them gives the difference.
        organization: Who ran them, for Every Eval Ever.
        dataset: Hub id of the benchmark, for `.eval_results` of data that is not on the hub.
        source_url: Where the runs can be seen, for Hugging Face.

    Raises:
        UserError: If there is no such format or no scored run, or the format needs
            something the run lacks.
    """
    if form not in FORMATS:
        raise UserError(f"unknown format {form!r}, choose from {', '.join(FORMATS)}")
    places = list(places)
    rows = list(rows_of(scored_in(find_runs(places))))
    of_run = Counter((row.run, row.benchmark) for _, row in rows)
    parts = [
        Exported(scored, row, row.benchmark + f"_{scored.scores.key}" * several)
        for scored, row in rows
        for several in [of_run[row.run, row.benchmark] > 1]
    ]
    if not parts:
        raise UserError(f"no scored run in {', '.join(map(str, places))}; 'halluc eval' makes one")
    if form == "lm-eval":
        yield from lm_eval.write(parts, output)
    elif form == "every-eval-ever":
        yield from every_eval_ever.write(parts, output, organization)
    elif form == "eval-results":
        yield from hugging_face.write_eval_results(parts, output, dataset, source_url)
    else:
        yield from hugging_face.write_model_index(parts, output, source_url)
