"""A finding as it is shown and kept: a table, a conclusion, a JSON file and a figure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.data.records import finite
from halluc.files import write_json
from halluc.lab.drawing import save
from halluc.store.run_folder import writing

if TYPE_CHECKING:
    from halluc.lab.base import Experiment, Finding, Setting

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
        return columns, [[_cell(row, name) for name in columns] for row in rows]

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


def _cell(row: dict[str, Any], name: str) -> str:
    """Write a value, with its interval if there is one: "12.5 [10.1, 14.8]"."""
    value = row[name]
    if value is None or value != value:
        return "-"
    if not isinstance(value, float):
        return str(value)
    bounds = [row.get(f"{name}{bound}") for bound in BOUNDS]
    numbers = [value, *(bound for bound in bounds if bound is not None)]
    digits = _digits(max(map(abs, numbers)))
    first, *rest = (f"{number:.{digits}f}" for number in numbers)
    return f"{first} [{', '.join(rest)}]" if rest else first


def _digits(largest: float) -> int:
    """Return how many decimals leave three digits that count, or all of those before the point."""
    return next((digits for digits, least in enumerate((100, 10, 1)) if largest >= least), 3)
