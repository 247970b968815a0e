"""The base of benchmarks whose answers a judge reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halluc.scoring.base import Benchmark
from halluc.scoring.judges.judge_models import NeedsJudge

if TYPE_CHECKING:
    from pathlib import Path

    from halluc.scoring.judges.judge_models import Judge
    from halluc.types import Answer


class JudgedBenchmark(Benchmark):
    """A benchmark with a judge.

    Args:
        judge: The model that reads the answers, see `halluc.scoring.judges.judge_models`. A
            protocol called "rules" needs none.
    """

    def __init__(
        self,
        protocol: str | None = None,
        prompt: str = "official",
        folder: Path | None = None,
        judge: Judge | None = None,
    ) -> None:
        super().__init__(protocol, prompt, folder)
        self.judge = judge

    @property
    def judge_name(self) -> str | None:
        """The name of the judge; None where the protocol needs none."""
        return self.judge.name if self.judge is not None and self.protocol != "rules" else None

    def caption(self, answer: Answer) -> None:
        """Return None: descriptions that are cut short are not put to a judge again."""

    def ask(self, prompt: str) -> str:
        """Put a prompt to the judge, and add its name to the notes.

        Raises:
            NeedsJudge: If there is no judge.
        """
        if self.judge is None:
            rules = "; or --protocol rules, which needs none" if "rules" in self.protocols else ""
            raise NeedsJudge(f"{self.name}: needs --judge endpoint:MODEL or local:MODEL{rules}")
        note = f"judge: {self.judge.name}"
        if note not in self.notes:
            self.notes.append(note)
        return self.judge.ask(prompt)
