"""What the page shows of traces: an index of them, and a packed line for each part of one."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from halluc.attend.trace_panel import NAME, averaged, read_panel

if TYPE_CHECKING:
    from halluc.attend.trace_panel import Panel, View
    from halluc.store import Scored

BUDGET = 6_000_000
"""Bytes that traces may take of a page: above it heads are averaged in all, then layers, and then
the last traces are left out."""


class FoundTrace(NamedTuple):
    """A trace and where it belongs.

    Attributes:
        panel: The trace.
        set: Key of the samples it is of, as in `sample_data`; "" of an image of one's own.
        run: Name of the run folder, or of the folder that `halluc attend` wrote.
    """

    panel: Panel
    set: str
    run: str


@dataclass
class Traces:
    """Traces as the page holds them.

    Attributes:
        index: A record a trace; numbers in it are lines.
        numbers: Gzipped JSON in base64, and the number of its line; no two are alike.
        left_out: Traces that there was no room for.
        averaged: What is averaged for want of room: "", "heads" or "heads and layers".
    """

    index: list[dict[str, Any]] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    left_out: int = 0
    averaged: str = ""

    def line(self, content: Any) -> int:
        """Pack something, once; return its line."""
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        packed = gzip.compress(text.encode(errors="replace"), mtime=0)
        coded = base64.b64encode(packed).decode()
        return self.numbers.setdefault(coded, len(self.numbers))

    @property
    def lines(self) -> list[str]:
        """What is packed, in the order of its numbers."""
        return list(self.numbers)


def traces_of(
    scored: Sequence[Scored],
    places: Sequence[Path],
    most: int,
    pictures: bool = True,
    budget: int = BUDGET,
) -> Traces:
    """Gather the traces of samples that are shown, and those of `halluc attend` at some places.

    Args:
        most: How many samples of each benchmark are shown.
        pictures: Whether images are part of the page.
        budget: Bytes that they may take.

    Raises:
        UserError: If a trace is broken.
    """
    found = [*_of_runs(scored, most), *_of_places(places)]
    for together in ("", "heads", "heads and layers"):
        traces = Traces(averaged=together)
        for one in found:
            before = len(traces.numbers)
            _add(traces, one, pictures)
            if sum(map(len, traces.numbers)) > budget:
                while len(traces.numbers) > before:
                    traces.numbers.popitem()
                traces.index.pop()
                traces.left_out += 1
        if not traces.left_out:
            break
    return traces


def _of_runs(scored: Sequence[Scored], most: int) -> Iterator[FoundTrace]:
    for one in scored:
        files = one.run.trace_files(one.name)
        if not files:
            continue
        keys = {said.id: said.answer for image in one.images.values() for said in image.answers}
        for sample in one.asked_samples[:most]:
            file = files.get(keys.get(sample.id, ""))
            if file is not None:
                yield FoundTrace(read_panel(file), one.scores.key, one.run.path.name)


def _of_places(places: Sequence[Path]) -> Iterator[FoundTrace]:
    files = [file for place in places for file in (place / NAME, *sorted(place.glob(f"*/{NAME}")))]
    for file in dict.fromkeys(files):
        if file.is_file():
            yield FoundTrace(read_panel(file), "", file.parent.name)


def _add(traces: Traces, found: FoundTrace, pictures: bool) -> None:
    panel = found.panel
    views: dict[str, View | None] = {
        "baseline": panel.baseline, "method": panel.method, "own": panel.own,
    }  # fmt: skip
    traces.index.append(
        {
            "set": found.set,
            "run": found.run,
            "sample": panel.sample,
            "model": panel.model,
            "prompt": panel.prompt,
            "method": (panel.method or panel.baseline).method,
            "size": panel.size,
            "layers": panel.layers,
            "picture": traces.line(panel.picture) if pictures else None,
            "views": {
                name: None if view is None
                else traces.line(averaged(view, traces.averaged).model_dump())
                for name, view in views.items()
            },
        }
    )  # fmt: skip
