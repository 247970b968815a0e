"""Maps of heads that `halluc lab heads` measured, as the page shows them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from halluc.errors import UserError

TITLES = {
    "image": "attention to the image (%)",
    "vhd": "VHD, change of output without the image",
    "loss": "log-odds of the right answer lost without it",
    "retrieval": "attention of a thing's name to the thing (%)",
}


def head_maps(places: Sequence[Path]) -> list[dict[str, Any]]:
    """Read every map of heads at or below some places; of several of the same weights one.

    Raises:
        UserError: If a file is no such map.
    """
    files = {file.resolve() for place in places for file in place.glob("**/lab-heads-*.json")}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for file in sorted(files):
        try:
            one = _map(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(
                f"{file}: is not a map of heads; remove it, and 'halluc lab heads' writes it again"
            ) from error
        found.setdefault((one["model"], one["weights"]), one)
    return list(found.values())


def _map(report: dict[str, Any]) -> dict[str, Any]:
    rows = report["rows"]
    if not rows:
        raise ValueError("it has no heads")
    layers = 1 + max(int(row["layer"]) for row in rows)
    heads = 1 + max(int(row["head"]) for row in rows)
    if layers * heads != len(rows):
        raise ValueError("a head is missing, or there twice")
    return {
        "model": str(report["model"]),
        "weights": str(report["weights"]),
        "scenes": int(report["scenes"]),
        "because": str(report["because"]),
        "layers": layers,
        "heads": heads,
        "quantities": [
            {"name": name, "title": title, "values": _values(rows, name, heads, layers)}
            for name, title in TITLES.items()
            if name in rows[0]
        ],
    }


def _values(rows: list[dict[str, Any]], name: str, heads: int, layers: int) -> list[Any]:
    """Return value, low and high of each head, layer by layer; None in layers out of reach."""
    values: list[Any] = [None] * (layers * heads)
    for row in rows:
        cells = [row[name + end] for end in ("", "_lo", "_hi")]
        known = all(isinstance(cell, int | float) and cell == cell for cell in cells)
        values[int(row["layer"]) * heads + int(row["head"])] = (
            [round(float(cell), 4) for cell in cells] if known else None
        )
    return values
