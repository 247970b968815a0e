"""Tables of the doctor's report, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from halluc.doctor.examination import Examination

_MARKS = {
    "kept": ("✓", "green"),
    "applies": ("✓", "green"),
    "broken": ("✗", "red bold"),
    "fails": ("✗", "red bold"),
    "skipped": ("-", "dim"),
    "refused": ("-", "dim"),
}


def tables(report: Examination) -> Iterator[Table | Text]:
    """Yield what `halluc doctor` prints, from top to bottom."""
    yield _pairs("model", {key: _shown(key, value) for key, value in report.model.items()})
    promises = _table("promises")
    for name, checked in report.promises.items():
        promises.add_row(_mark(checked.status), name, checked.measured)
    yield promises
    methods = _table("methods")
    for fit in report.methods:
        methods.add_row(_mark(fit.status), fit.name, fit.reason)
    yield methods
    installed = {name: found or "not installed" for name, found in report.packages.items()}
    yield _pairs("packages", installed)
    yield _pairs(
        "devices",
        {
            device["name"]: f"{device['what']}, {size(device['memory'])}"
            for device in report.devices
        },
    )
    yield _pairs("data", _data(report.data))
    yield _verdict(report)


def size(count: int) -> str:
    """Write a number of bytes for people: 1536 as "1.5 KiB"."""
    value, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"


def _data(data: dict[str, Any]) -> dict[str, str]:
    shown = {key: _shown(key, value) for key, value in data.items() if key != "benchmarks"}
    for name, source in data["benchmarks"].items():
        held = f" ({size(source['bytes'])})" if "bytes" in source else ""
        origin = "" if source["state"] == "drawn" else f": {source['dataset']}"
        shown[name] = f"{source['state']}{held}{origin}"
    return shown


def _shown(key: str, value: Any) -> str:
    if key.endswith("_bytes"):
        return size(value)
    if key == "parameters":
        return f"{value:,}"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _pairs(title: str, pairs: dict[str, str]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for key, value in pairs.items():
        table.add_row(key.removesuffix("_bytes"), value)
    return table


def _mark(status: str) -> Text:
    mark, style = _MARKS[status]
    return Text(f"{mark} {status}", style=style)


def _verdict(report: Examination) -> Text:
    kept = sum(checked.status == "kept" for checked in report.promises.values())
    asked = sum(checked.status != "skipped" for checked in report.promises.values())
    apply = sum(fit.status == "applies" for fit in report.methods)
    words = f"{kept} of {asked} promises kept; {apply} of {len(report.methods)} methods apply"
    return Text(words, style="green" if report.healthy else "red bold")
