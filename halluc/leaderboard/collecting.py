"""One board from run folders and other boards: merged, corrected for many tests, ties marked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from halluc.config import BASELINE
from halluc.errors import UserError
from halluc.leaderboard.board import Board, Row
from halluc.leaderboard.board_file import read_board
from halluc.leaderboard.building_rows import rows_of
from halluc.leaderboard.corrections import correct
from halluc.store import RunFolder, scored_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from halluc.store import Scored


def collect(paths: Iterable[Path], skip_unfinished: bool = False) -> Board:
    """Gather runs and boards into one board.

    Args:
        paths: Run folders, folders of run folders, and boards as JSON files.
        skip_unfinished: Leave out what was asked and is not scored.

    Raises:
        UserError: If a path is none of these, a run was asked something that is not
            scored, a board is of another schema version, two rows about the same thing disagree,
            or there is no row.
    """
    paths = list(paths)
    wanted = find_runs(paths)
    if not skip_unfinished:
        _refuse_unscored(wanted)
    rows = [row for path in paths if path.is_file() for row in read_board(path).rows]
    rows = [*(row for _, row in rows_of(scored_in(wanted))), *rows]
    if not rows:
        raise UserError(f"no finished run in {', '.join(map(str, paths))}; 'halluc eval' makes one")
    return _board(rows)


def board_of(scored: Sequence[Scored]) -> Board:
    """Make a board of some scores."""
    return _board([row for _, row in rows_of(scored)])


def _board(rows: Iterable[Row]) -> Board:
    board = Board(rows=sorted(merged(rows), key=_order))
    correct(board)
    return board


def _order(row: Row) -> tuple[str, str, str, bool, str, str]:
    unchanged = row.method == BASELINE
    return row.benchmark, row.model, row.setting, not unchanged, row.method, row.key


def find_runs(paths: Iterable[Path]) -> list[RunFolder]:
    """Find the runs at some paths, each once; files are skipped.

    Raises:
        UserError: If a path does not exist, or a run's asker.json is broken or was edited.
    """
    runs: dict[Path, RunFolder] = {}
    for path in paths:
        if not path.exists():
            raise UserError(f"no folder {str(path)!r}; give the --output-dir of an evaluation")
        is_run = (path / "asker.json").is_file()
        for file in sorted(path.glob("asker.json" if is_run else "*/asker.json")):
            runs.setdefault(file.parent.resolve(), RunFolder.read(file.parent))
    return list(runs.values())


def merged(rows: Iterable[Row]) -> Iterator[Row]:
    """Drop rows that occur twice; of two, keep the one that was compared with a baseline.

    The first cross-check of them is kept.

    Raises:
        UserError: If two rows about the same thing disagree.
    """
    known: dict[str, Row] = {}
    for row in rows:
        other = known.setdefault(row.key, row)
        for name in dict.fromkeys((*other.metrics, *row.metrics)):
            values = [r.metrics[name].value if name in r.metrics else None for r in (other, row)]
            if not _same(*values):
                raise UserError(
                    f"{row.method} on {row.benchmark} occurs twice and disagrees: {name} is "
                    f"{values[0]} in {other.run} and {values[1]} in {row.run}; leave one out"
                )
        crosscheck = other.crosscheck or row.crosscheck
        if other.baseline is None:
            known[row.key] = row
        known[row.key].crosscheck = crosscheck
    yield from known.values()


def _same(value: float | None, other: float | None) -> bool:
    if value is None or other is None:
        return value is other
    return math.isclose(value, other, rel_tol=1e-9, abs_tol=1e-12)


def _refuse_unscored(runs: Iterable[RunFolder]) -> None:
    for run in runs:
        if names := unscored(run):
            raise UserError(
                f"{run.path}: {', '.join(names)} was asked and is not scored; run its 'halluc "
                "eval' again, or 'halluc score' it, or leave it out with --skip-unfinished"
            )


def unscored(run: RunFolder) -> list[str]:
    """List the benchmarks of which a run has answered a set of samples that is not scored.

    What was asked and never answered is a start that failed, and stands in nobody's way.
    """
    scored = {run.scores(file).asked.key for file in run.scores_files()}
    asked = {asked.benchmark for asked, _ in run.sample_sets() if asked.key not in scored}
    return sorted(
        name for name in asked if any(file.stat().st_size for file in run.answers_files(name))
    )
