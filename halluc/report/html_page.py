"""Puts the report together: one file that opens from disk, with no server and no network."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError, needs_packages
from halluc.files import write_whole
from halluc.leaderboard.collecting import board_of, find_runs
from halluc.leaderboard.markdown_tables import LEGEND
from halluc.plain_text import printable
from halluc.provenance import VERSION
from halluc.report.board_records import board_data
from halluc.report.sample_records import Pictures, sample_data
from halluc.store import scored_in

if TYPE_CHECKING:
    from halluc.store import Scored

SCRIPTS = (
    "page.js", "board.js", "charts.js", "heat.js", "attention.js", "samples.js", "heads.js",
    "about.js",
)  # fmt: skip
"""In the order they run: the first defines what the others use, the last starts the page."""


def report_data(
    scored: Sequence[Scored],
    title: str,
    most: int = 10_000,
    thumbnails: bool = True,
    places: Sequence[Path] = (),
) -> dict[str, Any]:
    """Gather what the page shows.

    Args:
        scored: Scores of runs.
        title: Its heading.
        most: How many samples of each benchmark.
        thumbnails: Whether images are part of the file.
        places: Where sweeps, maps of heads and traces of `halluc attend` may be.
    """
    from halluc.report.charts_of_sweeps import sweep_charts
    from halluc.report.head_records import head_maps
    from halluc.report.trace_records import traces_of
    from halluc.report.trade_off_charts import charts

    board = board_of(scored)
    pictures = Pictures(most) if thumbnails else None
    samples = sample_data(scored, most, pictures)
    traces = traces_of(scored, places, most, thumbnails)
    return {
        "title": title,
        "legend": LEGEND,
        "board": board_data(board),
        "charts": [one._asdict() for one in (*charts(board), *sweep_charts(places))],
        "samples": samples,
        "pictures": pictures.coded if pictures else {},
        "heads": head_maps(places),
        "traces": {
            "index": traces.index,
            "lines": traces.lines,
            "left_out": traces.left_out,
            "averaged": traces.averaged,
        },
        "about": {
            "halluc": VERSION,
            "intervals": board.statistics.interval,
            "p-values": board.statistics.p,
            "corrected": board.statistics.corrected,
            "ties": board.statistics.tie_group,
        },
    }


def page(data: dict[str, Any], polls: bool = False) -> str:
    """Return the page as HTML.

    All that comes from files is packed data, which no browser runs, and is shown as text alone; the
    policy lets only the scripts of this package run, by their hashes, and nothing leave the file.

    Args:
        data: What `report_data` gathered.
        polls: Whether the page asks its server for changes, as `halluc view` serves it.
    """
    scripts = [_text(name) for name in SCRIPTS]
    if data["charts"]:
        scripts.insert(0, _drawing())
    if polls:
        scripts.append(_text("polling.js"))
    hashes = " ".join(f"'sha256-{_hash(script)}'" for script in scripts)
    connect = "'self'" if polls else "'none'"
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        f"connect-src {connect}; "
        "base-uri 'none'; form-action 'none'"
    )
    values = {
        "{policy}": policy,
        "{title}": _escaped(printable(data["title"])),
        "{style}": _text("report.css"),
        "{data}": _packed(
            {
                **data,
                "pictures": list(data["pictures"]),
                "traces": {**data["traces"], "lines": len(data["traces"]["lines"])},
            }
        ),
        "{pictures}": "\n".join(data["pictures"].values()),
        "{traces}": "\n".join(data["traces"]["lines"]),
        "{scripts}": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    text = _text("report.html")
    pieces = []
    for name, value in values.items():  # in the template's order, so that no value is searched
        before, _, text = _split(text, name)
        pieces += [before, value]
    return "".join([*pieces, text])


def write_report(
    places: Sequence[Path],
    output: Path,
    title: str = "halluc",
    most: int = 10_000,
    thumbnails: bool = True,
) -> int:
    """Write a report of the runs at some places; return its size in bytes.

    Raises:
        UserError: If there is no finished run, or a package is missing.
    """
    needs_packages("report", "altair", "vl_convert")
    scored = scored_in(find_runs(places))
    data = report_data(scored, title, most, thumbnails, places)
    if not scored and not data["traces"]["index"] and not data["heads"]:
        raise UserError(
            f"no finished run in {', '.join(map(str, places))}; 'halluc eval' makes one"
        )
    text = page(data).encode()
    output.parent.mkdir(parents=True, exist_ok=True)
    write_whole(output, text)
    return len(text)


@cache
def _drawing() -> str:
    """Bundle vega, which draws the charts."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle.replace("</script", "<\\/script")


def _split(text: str, name: str) -> tuple[str, str, str]:
    before, found, after = text.partition(name)
    assert found, name
    return before, found, after


def _text(name: str) -> str:
    return (files("halluc.report.page") / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _packed(data: Any) -> str:
    """Return gzipped JSON in base64, the same bytes for the same data."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(errors="replace"), mtime=0)).decode()


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
