"""The sections of the planning page on the store: what an answer costs, and what breaks first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.plan.assumed import Asks
from bench.plan.limits import Limit, StoreCosts, duration, size
from bench.plan.measuring import Unit

DONE = {
    "key": "make its key",
    "append": "append it, in batches of 32",
    "read": "read it back",
    "score": "score it, with its share of intervals",
    "check": "check that it is scored (a board does)",
    "answers held": "memory as an answer",
    "readings held": "memory as a reading",
    "answers file": "line of answers",
    "samples file": "line of samples",
    "readings file": "its part of readings",
    "scores file": "its part of scores",
}


def store_table(costs: StoreCosts) -> Iterator[str]:
    """Show what an answer, a row, an image and a lock cost."""
    yes, caption = (next(iter(each.values())) for each in (costs.yes_no, costs.caption))
    yield "\n## Measured: the store, on this machine's disk and one core\n"
    yield (
        "What one costs at the larger number, and against the smaller number: 1 where the cost is "
        "linear. Times are CPU seconds, so waiting for a disk is not in them.\n"
    )
    yield (
        f"| an answer | yes/no, of {yes.large:,} | against {yes.small:,} | "
        f"caption, of {caption.large:,} | against {caption.small:,} |\n|---|---|---|---|---|"
    )
    for name, text in DONE.items():
        cells = [_cells(each[name], name) for each in (costs.yes_no, costs.caption)]
        yield f"| {text} | {' | '.join(cells)} |"
    yield "\n| a row of a board | at the larger number | against the smaller |\n|---|---|---|"
    rows = costs.rows
    few = f"a row of few answers, of {rows['board'].large:,} and {rows['board'].small:,} rows"
    found = f"find an asker's folder, of {rows['folders'].large:,} and {rows['folders'].small:,}"
    looked = "look through folders for a new asker's, each folder"
    for text, unit in (
        (few, rows["board"]),
        (f"a yes/no answer of a row, of {costs.yes_no_row.large:,} and "
         f"{costs.yes_no_row.small:,}", costs.yes_no_row),
        (f"a caption of a row, of {costs.caption_row.large:,} and "
         f"{costs.caption_row.small:,}", costs.caption_row),
        ("its part of tie groups", costs.ties),
        (found, rows["folders"]),
        (looked, rows["new folder"]),
    ):  # fmt: skip
        yield f"| {text} | {_cells(unit, '')} |"
    yield (
        f"\nA JPEG of 640 x 480 pixels is opened in {_time(costs.opening)} and its pixels hashed "
        f"in {_time(costs.hashing)}. {1 / costs.lock:,.0f} locks a second of the clock are taken "
        f"and given back, on a machine that others use; a lock with the file it guards "
        f"is {costs.files:.0f} open files and "
        f"{costs.threads:.0f} thread{'s' * (costs.threads != 1)}."
    )


def storage(
    costs: StoreCosts, asked: Sequence[Asks], methods: int, models: int, shards: int
) -> Iterator[str]:
    """Show what the grid takes on disk, and what a board of it takes."""
    askers = methods * models
    yield "\n## What the grid leaves on the disk, and its board\n"
    yield "| | an asker | the grid | 100 times the grid |\n|---|---|---|---|"
    kinds = ("answers", "samples", "readings")
    each = [costs.of(f"{kind} file", asked) for kind in kinds]
    for kind, bytes_ in (*zip(kinds, each, strict=True), ("all", sum(each))):
        shown = (size(bytes_ * times) for times in (1, askers, 100 * askers))
        yield f"| {kind} | {' | '.join(shown)} |"
    files = 1 + 4 * len(asked)
    sharded = 1 + (3 + shards) * len(asked)
    for text, number in (("files", files), (f"files, {shards} shards", sharded)):
        yield f"| {text} | {number:,} | {number * askers:,} | {100 * number * askers:,} |"
    work = (
        ("score, one core", costs.of("score", asked)),
        ("board, one core", costs.board_row(asked)),
        ("check before it", costs.of("check", asked)),
    )
    for text, took in work:
        shown = (duration(took * times) for times in (1, askers, 100 * askers))
        yield f"| {text} | {' | '.join(shown)} |"
    held = (size(costs.board_held(asked) * times) for times in (1, askers, 100 * askers))
    yield f"| memory of the board | {' | '.join(held)} |"
    yield (
        "\nScoring follows answering in the same process, so a GPU waits for it; `--shard` and "
        "one scoring at the end keep it off the GPU. Captions cost what drawn scenes' captions "
        "do, whose targets are longer than most."
    )


def breaking(found: Sequence[Limit], runs: int) -> Iterator[str]:
    """Show what breaks, the first one first."""
    yield f"\n## What breaks first, on the way from {runs:,} runs to {100 * runs:,}\n"
    yield (
        "Measured costs, scaled linearly (but for the search through folders, which is quadratic). "
        "Too much is more than an hour, 64 GB, a million files in a folder, or the 1,024 open "
        "files that a process may have by default.\n"
    )
    yield (
        "| at times the grid | what | in the grid | too much | from | what would have to change |"
    )
    yield "|---|---|---|---|---|---|"
    for limit in found:
        bold = "**" * (limit.times < 100)
        yield (
            f"| {bold}{limit.times:,.3g}{bold} | {limit.what} | {limit.now} | {limit.sign} | "
            f"{limit.most:,.0f} {limit.of} | {limit.change} |"
        )
    breaks = sum(limit.times < 100 for limit in found)
    yield f"\n{breaks} of {len(found)} break before 100 times the grid (bold)."


def _cells(unit: Unit, name: str) -> str:
    value = size_or_time(unit.at_large, name)
    return f"{value} | {unit.linear:.2f}"


def size_or_time(value: float, name: str) -> str:
    """Write bytes of files and of memory, else seconds."""
    return f"{value:,.0f} B" if name.endswith(("file", "held")) else _time(value)


def _time(seconds: float) -> str:
    return f"{1e6 * seconds:,.1f} µs" if seconds < 1e-3 else f"{1e3 * seconds:,.1f} ms"
