"""A finding as it is shown and kept: a table, a conclusion, a JSON file and a figure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.data.records import finite
from halluc.files import write_json
from halluc.lab.drawing import save
from halluc.lab.estimates import rounded
from halluc.store.run_folder import writing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from halluc.lab.base import Experiment, Finding, Row, Setting

BOUNDS = ("_lo", "_hi")


@dataclass
class Report:
    """What an experiment found on a model.

    Attributes:
        content: All of it, as JSON can hold it.
        finding: The finding.
        files: What `write` has written: the table, and the figure where it could be drawn.
    """

    content: dict[str, Any]
    finding: Finding
    files: list[Path] = field(default_factory=list)

    @classmethod
    def of(cls, experiment: Experiment, setting: Setting, finding: Finding) -> Report:
        """Put together what was asked, on what, and what came out."""
        content = {
            **{key: getattr(experiment, key) for key in ("name", "question", "claim", "source")},
            "model": setting.model.name,
            "weights": setting.model.fingerprint,
            "methods": list(setting.methods),
            "scenes": setting.scenes,
            "seed": setting.seed,
            "held": finding.held,
            "because": finding.because,
            "rows": list(finding.rows),
        }
        return cls(finite(content), finding)

    @property
    def title(self) -> str:
        """What the table is about."""
        about = self.content
        return f"{about['name']} on {about['model']}, {about['scenes']} scenes: {about['question']}"

    @property
    def conclusion(self) -> str:
        """Whether the claim held here, and the numbers that say so."""
        held = self.finding.held
        verdict = "no claim to hold" if held == "no claim" else f"{held} here"
        return f"{verdict}: {self.finding.because}"

    @property
    def stem(self) -> str:
        """What its files are called: lab-<experiment>-<model>."""
        model = Path(self.content["model"]).name
        return f"lab-{self.content['name']}-{model}"

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the columns' names and the cells; an interval is one cell."""
        rows = self.finding.rows
        columns = [name for name in rows[0] if not name.endswith(BOUNDS)] if rows else []
        cells = [_column(rows, name) for name in columns]
        return columns, [list(line) for line in zip(*cells, strict=True)]

    def write(self, folder: Path, figures: Path) -> None:
        """Write the JSON file, and the figure where matplotlib is installed.

        Raises:
            UserError: If a file cannot be written.
        """
        table, picture = folder / f"{self.stem}.json", figures / f"{self.stem}.png"
        with writing(table):
            folder.mkdir(parents=True, exist_ok=True)
            write_json(table, self.content)
        self.files = [table]
        try:
            with writing(picture):
                save(self.finding, picture)
            self.files.append(picture)
        except ImportError:
            pass


def _column(rows: Sequence[Row], name: str) -> list[str]:
    """Write a column, an interval as "12.5 [10.1, 14.8]", all with as many decimals."""
    cells = [[row[name], *(row.get(f"{name}{bound}") for bound in BOUNDS)] for row in rows]
    floats = [abs(x) for cell in cells for x in cell if isinstance(x, float) and x == x]
    digits = _digits(max(floats, default=0.0))
    return [_cell(cell, digits) for cell in cells]


def _cell(values: Sequence[Any], digits: int) -> str:
    first, *bounds = values
    if first is None or None in bounds:
        return _text(first, digits)
    return f"{_text(first, digits)} [{', '.join(_text(bound, digits) for bound in bounds)}]"


def _text(value: Any, digits: int) -> str:
    if value is None or value != value:
        return "-"
    return f"{rounded(value, digits):.{digits}f}" if isinstance(value, float) else str(value)


def _digits(largest: float) -> int:
    """Return how many decimals leave a column's largest number three digits that count, or four."""
    return next((digits for digits, least in enumerate((1000, 10, 1)) if largest >= least), 3)
