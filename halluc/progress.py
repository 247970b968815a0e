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
)
from rich.text import Text

T = TypeVar("T")
_LOG_EVERY = 15.0  # seconds


class Pace:
    """How far a command of several parts is, each of a weight known before it begins.

    Args:
        total: The weights of all parts together.
    """

    def __init__(self, total: float) -> None:
        self.left, self.done, self.seconds = total, 0.0, 0.0
        self._since: float | None = None

    def start(self) -> None:
        """Begin a part, or go on after it: time between parts does not count."""
        self._since = time.monotonic()

    def skip(self, weight: float) -> None:
        """Leave out what is known already."""
        self.left -= weight

    def advance(self, weight: float) -> None:
        """Count something as done."""
        self.left -= weight
        self.done += weight

    def remaining(self) -> float | None:
        """Return the seconds that are left if all goes on as fast; None before anything is done."""
        if not self.done or self._since is None:
            return None
        spent = self.seconds + time.monotonic() - self._since
        return max(self.left, 0.0) * spent / self.done

    def stop(self) -> None:
        """End a part."""
        if self._since is not None:
            self.seconds += time.monotonic() - self._since
            self._since = None


class _Rate(ProgressColumn):
    """Items a second since the start: a batch is done at once, so the last moment says nothing."""

    def render(self, task: Task) -> Text:
        rate = task.completed / task.elapsed if task.elapsed else 0
        return Text(f"{rate:.1f}/s" if task.completed else "-/s", style="progress.data.speed")


class _Left(ProgressColumn):
    """Time left of these items and, after it, of the whole command."""

    def __init__(self, pace: Pace | None) -> None:
        super().__init__()
        self.pace = pace

    def render(self, task: Task) -> Text:
        here = None
        if task.completed and task.elapsed and task.total is not None:
            here = (task.total - task.completed) * task.elapsed / task.completed
        text = f"left {clock(here)}"
        if self.pace is not None:
            text += f", in all {clock(self.pace.remaining())}"
        return Text(text, style="progress.remaining")


def clock(seconds: float | None) -> str:
    """Write seconds as hours, minutes and seconds: "1:02:03"."""
    if seconds is None:
        return "-:--:--"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def track(
    items: Iterable[T], total: int, title: str, console: Console, pace: Pace | None = None
) -> Iterator[T]:
    """Pass items through and show how many there have been.

    Args:
        total: Number of items.
        title: What the items are.
        console: Where to show it; bars only if it is a terminal.
        pace: Of the command that these items are a part of; whoever makes the items advances it.
    """
    if pace is not None:
        pace.start()
    if console.is_terminal:
        yield from _bar(items, total, title, console, pace)
    else:
        yield from _lines(items, total, title, console, pace)
    if pace is not None:
        pace.stop()


def _bar(
    items: Iterable[T], total: int, title: str, console: Console, pace: Pace | None
) -> Iterator[T]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        _Left(pace),
    )
    with Progress(*columns, console=console, expand=True) as progress:
        task = progress.add_task(title, total=total)
        for item in items:
            yield item
            progress.advance(task)


def _lines(
    items: Iterable[T], total: int, title: str, console: Console, pace: Pace | None
) -> Iterator[T]:
    started = shown = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - shown >= _LOG_EVERY or done == total:
            shown = now
            rate = done / max(now - started, 1e-9)
            left = f"{(total - done) / rate:.0f} s left"
            if pace is not None and (in_all := pace.remaining()) is not None:
                left += f", {in_all:.0f} s in all"
            console.print(
                f"{title}: {done}/{total}, {rate:.1f}/s, {now - started:.0f} s, {left}",
                highlight=False,
                soft_wrap=True,
            )
