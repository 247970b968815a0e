"""How commands print: tables that fit the window, plain columns where there is none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from halluc.cli.quiet_and_verbose import loudness

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

PIPE_WIDTH = 120
"""The number of columns that layouts aim at where there is no window; lines may run over it."""

_ENDLESS = 100_000


def window() -> Console:
    """Return standard output; without a window it is as wide as `COLUMNS` says, else 120."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal and not os.environ.get("COLUMNS"):
        console.width = PIPE_WIDTH
    return console


def show(*items: RenderableType, console: Console | None = None) -> None:
    """Print tables and lines, unless the command is quiet.

    A table's title stands above it and may be longer than it. On a terminal cells are folded to
    fit; elsewhere a table has no lines, and is as wide as its longest cells make it.

    Args:
        console: Where to; standard output by default.
    """
    from rich.console import Group
    from rich.table import Table

    if loudness() == "quiet":
        return
    console = console or window()
    for item in items:
        if isinstance(item, Group):
            show(*item.renderables, console=console)
        elif isinstance(item, Table):
            _print_table(item, console)
        else:
            console.print(item, highlight=False, soft_wrap=not console.is_terminal)


def say(text: str, console: Console | None = None) -> None:
    """Print a line as it is: never cut, and no markup is read in it."""
    console = console or window()
    soft = not (console.is_terminal and " " in text)
    console.print(text, highlight=False, markup=False, soft_wrap=soft)


def _print_table(table: Table, console: Console) -> None:
    from rich import box

    title, table.title = table.title, None
    if title is not None:
        console.print(title, highlight=False, soft_wrap=not console.is_terminal)
    table.pad_edge = table.show_edge = False
    if not console.is_terminal:
        table.box, table.padding = None, (0, 2, 0, 0)
        width, console.width = console.width, _ENDLESS
        console.print(table)
        console.print()
        console.width = width
        return
    table.box, table.padding = box.SIMPLE_HEAD, (0, 1, 0, 0)
    for column in table.columns:
        column.overflow = "fold"
    widest = max(
        (console.measure(cell).maximum for cell in table.columns[0].cells if cell), default=0
    )
    table.columns[0].no_wrap = widest <= console.width // 2
    console.print(table)
    console.print()
