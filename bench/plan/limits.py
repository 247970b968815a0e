"""Where the store breaks first: measured costs, scaled to the number at which they are too much."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.plan.assumed import Asks
from bench.plan.measuring import Unit

HOUR, GIGABYTES, FILES, OPEN = 3600.0, 64e9, 1e6, 1024


@dataclass(frozen=True)
class StoreCosts:
    """What was measured of the store; seconds and bytes.

    Attributes:
        yes_no, caption: Of an answer, by what is done with it.
        rows: Of a row of a board with few answers.
        yes_no_row, caption_row: Of building a board, an answer of a row.
        row_held: Bytes of a row in memory.
        ties: Of a row in finding tie groups.
        opening, hashing: Of an image.
        lock, files, threads: Of a lock: seconds, and what it holds open while it is taken.
    """

    yes_no: Mapping[str, Unit]
    caption: Mapping[str, Unit]
    rows: Mapping[str, Unit]
    yes_no_row: Unit
    caption_row: Unit
    row_held: float
    ties: Unit
    opening: float
    hashing: float
    lock: float
    files: float
    threads: float

    def of(self, what: str, asked: Sequence[Asks]) -> float:
        """What the answers of one asker to some benchmarks cost."""
        return sum(
            n * (self.yes_no if task == "yes_no" else self.caption)[what].at_large
            for asks in asked
            for task, n, _ in asks.parts
        )

    def board_row(self, asked: Sequence[Asks]) -> float:
        """Seconds that an asker's rows add to a board, without the check that all is scored."""
        reading = sum(
            n * (self.caption_row if task == "caption" else self.yes_no_row).growth
            for asks in asked
            for task, n, _ in asks.parts
        )
        return len(asked) * self.rows["board"].at_large + reading

    def board_held(self, asked: Sequence[Asks]) -> float:
        """Bytes that an asker's rows hold while a board is made; captions are read again."""
        captions = [asks for asks in asked if asks.parts[0][0] == "caption"]
        rows = len(asked) * self.row_held
        return rows + self.of("readings held", asked) + self.of("answers held", captions)


@dataclass(frozen=True)
class Limit:
    """A cost that grows with the grid, and the number at which it is too much.

    Attributes:
        what: What costs.
        of: What is counted.
        grid: Their number in the grid.
        most: The number at which it is too much.
        now: What it is in the grid.
        sign: What is too much.
        change: What would have to change.
    """

    what: str
    of: str
    grid: float
    most: float
    now: str
    sign: str
    change: str

    @property
    def times(self) -> float:
        """At how many times the grid it breaks."""
        return self.most / self.grid


def limits(
    costs: StoreCosts, asked: Sequence[Asks], methods: int, models: int, shards: int
) -> list[Limit]:
    """List what breaks, the first one first.

    Args:
        methods, models: Of the grid.
        shards: Files that the answers of a run are split into.
    """
    askers = methods * models
    images = sum(asks.images for asks in asked)
    largest = max(asked, key=lambda asks: asks.questions)
    board = costs.board_row(asked)
    check = costs.of("check", asked)
    held = costs.board_held(asked)
    scoring = costs.of("score", asked)
    start = 3 * costs.of("read", asked)
    known = 2 * costs.of("answers held", [largest])
    search = costs.rows["new folder"].at_large
    image = costs.opening + costs.hashing
    locks = askers * len(asked)
    a_folder = 1 + len(asked) * (3 + shards)

    def hour(what: str, of: str, grid: float, each: float, change: str) -> Limit:
        return Limit(what, of, grid, HOUR / each, duration(grid * each), "an hour", change)

    def memory(what: str, of: str, grid: float, each: float, change: str) -> Limit:
        return Limit(what, of, grid, GIGABYTES / each, size(grid * each), "64 GB", change)

    def many(what: str, of: str, grid: float, most: float, now: str, change: str) -> Limit:
        return Limit(what, of, grid, most, now, "a million files", change)

    found = [
        hour(
            "a board of all runs: every row is compared with its baseline again", "askers", askers,
            board,
            "keep a row next to its scores, and compute only rows that are not there yet; rows "
            "are independent, so processes can share them",
        ),
        hour(
            "the check before it that all is scored: every samples file is read and hashed",
            "askers", askers, check,
            "read a samples file's first line only, or once for all askers",
        ),
        memory(
            "a board's readings, which are held until its last row is made", "askers", askers,
            held, "let go of a run's readings once its row is made; keep the baselines' only",
        ),
        hour(
            "scoring all answers again, one process", "askers", askers, scoring,
            "score in several processes: askers are independent",
        ),
        hour(
            "a command on one model that starts again: answers files are read three times",
            "methods in a command", methods, start,
            "read a file once, and find answers by an index of keys and places",
        ),
        memory(
            f"answers to {largest.name} in memory, kept and given to the scorer",
            "methods in a command", methods, known, "score a run and let go of its answers",
        ),
        Limit(
            "open files: a lock and an answers file a method", "methods in a command", methods,
            OPEN / costs.files,
            f"{methods * costs.files:.0f} files, {methods * costs.threads:.0f} threads",
            f"{OPEN:,} open files", "raise `ulimit -n`, or one file and one lock for a command",
        ),
        Limit(
            "all first starts together: each looks through all folders for a renamed one",
            "askers", askers, math.sqrt(2 * HOUR / search), duration(search * askers**2 / 2),
            "an hour", "an index of folders by key",
        ),
        hour(
            "hashing images at a start, to know whether answers are to them", "images", images,
            image, "keep hashes with the size and date of the image's file",
        ),
        hour(
            "taking locks, one after the other", "locks", locks, costs.lock,
            "one lock for all files of an asker",
        ),
        hour(
            "tie groups and corrections of a board", "rows", locks, costs.ties.at_large,
            "nothing: it is linear in rows",
        ),
        many(
            "folders in the folder of runs", "askers", askers, FILES, f"{askers:,} folders",
            "a folder a model above them",
        ),
        many(
            f"files in an asker's folder, {shards} shards", "shards", shards,
            (FILES - 1) / len(asked) - 3, f"{a_folder:,} files",
            "join the files of shards once all are there",
        ),
    ]  # fmt: skip
    return sorted(found, key=lambda limit: limit.times)


def duration(seconds: float) -> str:
    """Write seconds in the unit that is easiest to read."""
    for unit, most in (("s", 120.0), ("min", 7200.0), ("h", math.inf)):
        if seconds < most:
            return f"{seconds / {'s': 1, 'min': 60, 'h': 3600}[unit]:.3g} {unit}"
    return "-"


def size(count: float) -> str:
    """Write bytes in the unit that is easiest to read."""
    for unit, one in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if count < 1000 * one:
            return f"{count / one:.3g} {unit}"
    return f"{count / 1e12:.3g} TB"
