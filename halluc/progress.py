"""Progress: a bar with rate and time left on a terminal, a line from time to time in a log."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

T = TypeVar("T")
_LOG_EVERY = 15.0  # seconds


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:.1f}/s", style="progress.data.speed")


def track(items: Iterable[T], total: int, title: str, console: Console) -> Iterator[T]:
    """Pass items through and show how many there have been.

    Args:
        total: Number of items.
        title: What the items are.
        console: Where to show it; bars only if it is a terminal.
    """
    if console.is_terminal:
        yield from _bar(items, total, title, console)
    else:
        yield from _lines(items, total, title, console)


def _bar(items: Iterable[T], total: int, title: str, console: Console) -> Iterator[T]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=total)
        for item in items:
            yield item
            progress.advance(task)


def _lines(items: Iterable[T], total: int, title: str, console: Console) -> Iterator[T]:
    started = shown = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - shown >= _LOG_EVERY or done == total:
            shown = now
            rate = done / max(now - started, 1e-9)
            left = (total - done) / rate
            console.print(
                f"{title}: {done}/{total}, {rate:.1f}/s, {now - started:.0f} s, {left:.0f} s left",
                highlight=False,
            )
