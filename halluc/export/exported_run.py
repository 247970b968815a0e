"""One scoring of one run: what every exporter starts from."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from halluc.leaderboard import Row
    from halluc.store import Scored
    from halluc.types import Answer


class ExportedReading(NamedTuple):
    """What was read in an answer.

    Attributes:
        right: Whether it is right; None where a single answer cannot be.
        image: The unit that intervals resample: its image, or a group of images.
    """

    answer: Answer
    prediction: Any
    right: bool | None
    image: str


@dataclass(frozen=True)
class Exported:
    """One scoring of a run.

    Attributes:
        scored: Its scores.
        row: Its row of a board, with the difference to its baseline.
        task: The name of what was scored: the benchmark, with the key of the scores where the run
            has several of it.
    """

    scored: Scored
    row: Row
    task: str

    @cached_property
    def readings(self) -> list[ExportedReading]:
        """What was read in each answer that did not fail, with the verdict; thoughts are in it."""
        images = self.scored.images
        texts = {answer.key: answer.text for answer in self.scored.run.answers(self.scored.name)}
        said = {answer.id: (name, answer) for name, i in images.items() for answer in i.answers}
        return [
            ExportedReading(
                replace(r.answer, text=texts[r.answer.key]),
                r.prediction,
                said[r.id][1].right,
                said[r.id][0],
            )
            for r in self.scored.readings
        ]

    @property
    def date(self) -> datetime:
        """When it was scored."""
        return datetime.strptime(self.scored.scores.date, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)

    @property
    def version(self) -> str:
        """The version of halluc that scored it."""
        return str(self.scored.scores.where.get("halluc", ""))

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
