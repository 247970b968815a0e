"""Measure what the store costs: an answer, an image, a row of a board, a lock, a folder."""

from __future__ import annotations

import os
import random
import threading
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from bench.geometry import photo
from bench.plan.made_runs import asker, copies, keep, made_up, samples_of, score
from bench.plan.measuring import held, spent
from halluc.images import as_rgb, image_hash
from halluc.leaderboard.board import Board
from halluc.leaderboard.building_rows import rows_of
from halluc.leaderboard.collecting import collect, find_runs, unscored
from halluc.lines_file import appending
from halluc.statistics import tie_groups
from halluc.store import RunFolder, find_scored
from halluc.types import Answer

BATCH = 32


def of_answers(folder: Path, benchmark: str, size: int) -> tuple[int, dict[str, float]]:
    """Measure a run's answers: their number, then seconds and bytes of all of them by what is done.

    Args:
        size: Their least number.
    """
    samples = samples_of(benchmark, size)
    answers = made_up(samples, 0.2, 0)
    run = keep(folder, 0, benchmark, samples).run
    measured = {
        "key": spent(lambda: [answer.key for answer in answers]),
        "read": spent(lambda: run.answers(benchmark)),
        "answers held": float(held(lambda: run.answers(benchmark))),
        "check": spent(lambda: unscored(run)),
        "readings held": float(held(lambda: next(find_scored(run)).images)),
    }
    for kind in ("answers", "samples", "readings", "scores"):
        sizes = [file.stat().st_size for file in run.path.glob(f"{kind}_*.json*")]
        measured[f"{kind} file"] = float(sum(sizes))
    other = made_up(samples, 0.3, 1)
    measured["score"] = spent(lambda: score(run, benchmark, samples, other), 1)
    measured["append"] = spent(partial(_append, run, benchmark, answers))
    return len(samples), measured


def _append(run: RunFolder, benchmark: str, answers: list[Answer]) -> None:
    shard = f"{len(list(run.path.iterdir()))}of999"
    with run.keeping(benchmark, print, shard) as write:
        for start in range(0, len(answers), BATCH):
            write(answers[start : start + BATCH])


def of_rows(folder: Path, benchmark: str, rows: int, answers: int) -> dict[str, float]:
    """Measure a board of a baseline and other runs that answered alike: seconds of all of it."""
    samples = samples_of(benchmark, answers)
    keep(folder, 0, benchmark, samples)
    like = keep(folder, 1, benchmark, samples, 0.3)
    copies(folder, like, range(2, rows))
    before = time.process_time()
    board = collect([folder], skip_unfinished=True)
    measured = {"board": time.process_time() - before}
    assert len(board.rows) == rows
    measured["folders"] = spent(lambda: find_runs([folder]))
    measured["new folder"] = spent(lambda: RunFolder.of(folder, asker(rows + 1)))
    measured["scores"] = spent(lambda: [list(find_scored(run)) for run in find_runs([folder])])
    return measured


def row_held(folder: Path, benchmark: str, rows: int, answers: int) -> float:
    """Measure the bytes that a row of a board takes, without what was read in answers."""
    samples = samples_of(benchmark, answers)
    like = keep(folder, 0, benchmark, samples)
    copies(folder, like, range(1, rows))

    def board() -> Board:
        scored = [one for run in find_runs([folder]) for one in find_scored(run)]
        return Board(rows=[row.row for row in rows_of(scored)])

    return held(board) / rows


def of_ties(rows: int) -> float:
    """Measure seconds of telling apart rows whose differences to a baseline are drawn."""
    draw = random.Random(rows)
    gaps = [draw.gauss(0, 0.02) for _ in range(rows)]
    return spent(lambda: tie_groups(gaps, [0.01] * rows))


def of_images(count: int, size: tuple[int, int] = (640, 480)) -> tuple[float, float]:
    """Measure seconds of opening a JPEG, and of hashing its pixels."""
    files = [photo(number, size) for number in range(count)]
    images = [as_rgb(load()) for load in files]
    opening = spent(lambda: [as_rgb(load()) for load in files])
    return opening / count, spent(lambda: [image_hash(image) for image in images]) / count


def of_locks(folder: Path, count: int) -> tuple[float, float, float]:
    """Measure seconds on the clock to take and give back a lock; open files and threads each."""
    folder.mkdir(parents=True)
    times = []
    for number in range(count):
        before = time.perf_counter()
        with appending(folder / f"{number}.jsonl"):
            pass
        times.append(time.perf_counter() - before)
    files, threads = _open_files(), threading.active_count()
    with ExitStack() as stack:
        for number in range(count):
            stack.enter_context(appending(folder / f"{number}.jsonl"))
        each = (_open_files() - files) / count, (threading.active_count() - threads) / count
    return median(times), *each


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
