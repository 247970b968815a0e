"""One benchmark of one run: what every exporter starts from."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from halluc.scoring.building import build
from halluc.scoring.scores import parsed

if TYPE_CHECKING:
    from halluc.leaderboard import Row
    from halluc.scoring.base import Benchmark
    from halluc.store import RunFolder
    from halluc.types import Answer


@dataclass(frozen=True)
class Exported:
    """One benchmark of one run.

    Attributes:
        run: Where its answers are.
        row: Its row of a board, with the difference to its baseline.
    """

    run: RunFolder
    row: Row

    @cached_property
    def results(self) -> dict[str, Any]:
        """The run's results file."""
        return self.run.finished()

    @cached_property
    def benchmark(self) -> Benchmark:
        """The benchmark, as the run read it."""
        return build(self.row.benchmark, self.run.config.benchmark_args.get(self.row.benchmark))

    @cached_property
    def answers(self) -> list[Answer]:
        """Its answers, parsed, without those that failed."""
        return parsed(self.benchmark, self.run.answers(self.row.benchmark))

    @property
    def date(self) -> datetime:
        """When the results were written."""
        return datetime.fromtimestamp(self.results["date"], UTC)

    @property
    def hub_dataset(self) -> str | None:
        """The data set's id on the Hugging Face hub, if it is there."""
        name = self.row.dataset
        return name if re.fullmatch(r"[\w.-]+/[\w.-]+", name) else None

    @property
    def method(self) -> str:
        """The method with its parameters, in words."""
        arguments = ", ".join(f"{key}={value}" for key, value in self.row.method_args.items())
        return f"{self.row.method} ({arguments})" if arguments else self.row.method


def conversation(answer: Answer) -> str:
    """Return the prompt, with the earlier turns of a conversation before it, a line each."""
    return "\n".join([*(said for turn in answer.history for said in turn), answer.prompt])


def as_text(value: Any) -> str:
    """Return a target or prediction as text: as JSON where it is not a string."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
