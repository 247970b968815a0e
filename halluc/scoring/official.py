"""Answers in each benchmark's own file format: read with every line checked, then scored.

The published scorers pair answers with questions by position and stop at the shorter list, so a
truncated or reordered file scores without a word. Here each is an error that names the line.
"""

from __future__ import annotations

import gzip
import json
import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError
from halluc.scoring.intervals import DRAWS
from halluc.scoring.score import score

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from halluc.scoring.benchmark import Benchmark


@dataclass(frozen=True)
class OfficialFiles:
    """What a benchmark's authors' scorer is given.

    Attributes:
        answers: The model's answers: a file, or a folder where the format is one.
        labels: Questions or annotations with the right answers, where `answers` lacks them.
        ground_truth: CHAIR's objects per image.
    """

    answers: Path
    labels: Path | None = None
    ground_truth: Path | None = None

    def require(self, name: str, what: str) -> Path:
        """Return a file of the given name ("labels").

        Raises:
            UserError: If it was not given or does not exist.
        """
        path: Path | None = getattr(self, name)
        option = "--" + name.replace("_", "-")
        if path is None:
            raise UserError(f"give {option}: {what}")
        if not path.exists():
            raise UserError(f"{option} {path}: no such file")
        return path


@dataclass(frozen=True)
class Row:
    """A record of a file, and the line it starts on."""

    where: str
    fields: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        if name not in self.fields:
            raise UserError(f"{self.where}: has no {name!r}, only {', '.join(self.fields)}")
        return self.fields[name]

    def text(self, *names: str) -> str:
        """The text under the first of these names the record has.

        Raises:
            UserError: If it has none of them, or no text there: a missing answer is not an empty
                one.
        """
        for name in names:
            if name in self.fields:
                value = self.fields[name]
                if not isinstance(value, str):
                    raise UserError(f"{self.where}: {name!r} is {value!r} and no text")
                return value
        raise UserError(f"{self.where}: needs {' or '.join(map(repr, names))}")


def text_of(path: Path) -> str:
    """Read a text file, gzipped or not.

    Raises:
        UserError: If it is missing or no text.
    """
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None


def rows(path: Path) -> list[Row]:
    """Read records: JSON lines, one JSON array, or JSON objects one after another.

    Raises:
        UserError: If something in it is no JSON object; names the line.
    """
    text, decoder = text_of(path), json.JSONDecoder()
    found: list[Row] = []
    place, line = 0, 1
    inside = text.lstrip().startswith("[")
    skipped = " \t\r\n" + ("[,]" if inside else "")
    while True:
        start = place
        while place < len(text) and text[place] in skipped:
            place += 1
        line += text.count("\n", start, place)
        if place == len(text):
            break
        try:
            record, end = decoder.raw_decode(text, place)
        except ValueError:
            raise UserError(f"{path} line {line}: not JSON; is the file truncated?") from None
        if not isinstance(record, dict):
            raise UserError(f"{path} line {line}: a JSON object is wanted, not {record!r}")
        found.append(Row(f"{path} line {line}", record))
        line += text.count("\n", place, end)
        place = end
    if inside and not text.rstrip().endswith("]"):
        raise UserError(f"{path} line {line}: the JSON array is not closed; is the file truncated?")
    if not found:
        raise UserError(f"{path}: is empty")
    return found


def align(
    answers: Sequence[tuple[str, Any]], asked: Sequence[tuple[str, Any]]
) -> list[tuple[int, int]]:
    """Check that every question has its answer, in order.

    Args:
        answers: Where each answer stands, and the id of its question.
        asked: The same for the questions.

    Returns:
        Positions of answer and question.

    Raises:
        UserError: If an id is unknown or answered twice, or the file is reordered or truncated.
    """
    position = unique(asked)
    seen: dict[Any, str] = {}
    for where, id in answers:
        if id not in position:
            raise UserError(f"{where}: answers question {id!r}, which is not asked")
        if id in seen:
            raise UserError(f"{where}: answers question {id!r} again, first at {seen[id]}")
        seen[id] = where
    missing = [(where, id) for where, id in asked if id not in seen]
    order = [position[id] for _, id in answers]
    for before, after in zip(range(len(order)), order[1:], strict=False):
        if after < order[before]:
            where, id = answers[before + 1]
            raise UserError(f"{where}: answers question {id!r} out of order; is it reordered?")
    if missing:
        where, id = missing[0]
        raise UserError(
            f"{len(answers)} answers to {len(asked)} questions: {id!r} ({where}) has none; "
            f"is the file truncated?"
        )
    return list(enumerate(order))


def unique(entries: Sequence[tuple[str, Any]]) -> dict[Any, int]:
    """Where each id stands.

    Args:
        entries: Where each stands in its file, and its id.

    Raises:
        UserError: If an id occurs twice.
    """
    position: dict[Any, int] = {}
    for number, (where, id) in enumerate(entries):
        if id in position:
            raise UserError(f"{where}: id {id!r} again, first at {entries[position[id]][0]}")
        position[id] = number
    return position


def score_files(
    benchmark: Benchmark, files: OfficialFiles, draws: int = DRAWS, seed: int = 0
) -> dict[str, Any]:
    """Score an answers file in its benchmark's official format; needs no model and no network.

    Returns:
        What JSON can hold: "metrics" under their official names, "scores" under ours with 95%
        intervals, how many answers were scored, and how many of them could not be parsed.

    Raises:
        UserError: If anything about the files is wrong; then there is no score.
    """
    answers = benchmark.read_official(files)
    scores = score(benchmark, answers, draws, seed)
    details = [detail for answer in answers if (detail := benchmark.detail(answer))]
    result: dict[str, Any] = plain(
        {
            "benchmark": benchmark.name,
            "protocol": benchmark.protocol,
            "metrics": benchmark.official(Counter(scores.totals)),
            "scores": {n: asdict(i) for n, i in scores.values.items() if math.isfinite(i.value)},
            "n": scores.n,
            "n_images": scores.n_images,
            "unparseable": scores.unparseable,
            "notes": benchmark.notes,
            **({"sentences": details} if details else {}),
        }
    )
    return result


def plain(value: Any) -> Any:
    """Replace numbers JSON has no words for by None, inside and out."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
