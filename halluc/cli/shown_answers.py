"""A run's answers next to the baseline's, sample by sample, for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rich.text import Text

from halluc.config import BASELINE
from halluc.errors import UserError
from halluc.leaderboard.collecting import find_runs
from halluc.plain_text import printable
from halluc.scoring.marks import Mark
from halluc.store import RunFolder, Scored, find_scored


class Said(NamedTuple):
    """An answer.

    Attributes:
        text: What was said.
        right: Whether it is right; None where a single answer cannot be judged.
        marks: The parts of it that name things.
        missed: What it should name and does not.
    """

    text: str
    right: bool | None
    marks: list[Mark]
    missed: list[str]

    @property
    def wrong(self) -> bool:
        """Whether it is wrong, or names a thing that is not there."""
        return self.right is False or any(not mark.right for mark in self.marks)


class Shown(NamedTuple):
    """A sample with the answers to it; `baseline` is None where there is no such run."""

    id: str
    prompt: str
    target: str | None
    method: str
    answer: Said
    baseline: Said | None

    def as_json(self) -> dict[str, Any]:
        """Describe it as JSON can hold it."""
        before = None if self.baseline is None else self.baseline._asdict()
        return {**self._asdict(), "answer": self.answer._asdict(), "baseline": before}


def samples(
    run: Path, changed: bool = False, wrong: bool = False, benchmark: str | None = None
) -> dict[str, list[Shown]]:
    """Gather a run's answers by benchmark.

    The baseline is the run of the same setting that lies in the same folder.

    Args:
        changed: Only those that differ from the baseline's.
        wrong: Only wrong ones.
        benchmark: Only those to this benchmark.

    Raises:
        UserError: If it is no run, has no such scores, or no baseline to differ from.
    """
    folder = RunFolder.read(run)
    method, found = folder.asker.method.name, dict[str, list[Shown]]()
    scored = [one for one in find_scored(folder) if benchmark in (None, one.name)]
    if not scored:
        raise UserError(f"{run}: has no scores of {benchmark or 'anything'}; 'halluc score' it")
    before = {} if method == BASELINE else _baseline(folder)
    if changed and not before:
        raise UserError(f"{run}: there is no run of the baseline next to it that it could change")
    for one in {one.scores.asked.key: one for one in scored}.values():
        base = before.get(one.scores.key)
        known = {} if base is None else _said(base)
        answers = _said(one)
        for sample in one.asked_samples:
            answer, other = answers.get(sample.id), known.get(sample.id)
            if answer is None or (wrong and not answer.wrong):
                continue
            if changed and (other is None or other.text == answer.text):
                continue
            target = sample.target if isinstance(sample.target, str) else None
            row = Shown(sample.id, sample.prompt, target, method, answer, other)
            found.setdefault(one.name, []).append(row)
    return found or {one.name: [] for one in scored}


def _baseline(run: RunFolder) -> dict[str, Scored]:
    for other in find_runs([run.path.resolve().parent]):
        if other.asker.method.name == BASELINE and other.asker.setting == run.asker.setting:
            return {one.scores.key: one for one in find_scored(other)}
    return {}


def _said(scored: Scored) -> dict[str, Said]:
    reader = scored.reader
    return {
        reading.id: Said(
            reading.text, reader.right(reading), reader.marks(reading), reader.missed(reading)
        )
        for reading in scored.readings
    }


def texts(shown: Iterable[Shown]) -> Iterator[Text]:
    """Yield a paragraph for each sample: made-up things are red, underlined and in brackets."""
    for one in shown:
        text = Text.assemble((printable(one.id), "bold"), f"  {printable(one.prompt)}")
        if one.target is not None:
            text.append(f"\n  truth: {printable(one.target)}")
        for name, said in ((BASELINE, one.baseline), (one.method, one.answer)):
            if said is not None:
                text.append(f"\n  {printable(name)}: ")
                text.append_text(_marked(said))
        if one.answer.missed:
            text.append(f"\n  not named: {printable(', '.join(one.answer.missed))}", "dim")
        yield text.append("\n")


def _marked(said: Said) -> Text:
    text, place = Text(), 0
    for start, end, right in sorted(said.marks):
        text.append(printable(said.text[place:start]))
        word = printable(said.text[start:end])
        text.append(word if right else f"[{word}]", "green" if right else "bold red underline")
        place = end
    text.append(printable(said.text[place:]))
    if said.right is not None:
        text.append("  right" if said.right else "  wrong", "green" if said.right else "red")
    return text
