"""Shards: a part of the images for each of several processes, so that sharing survives."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from halluc.errors import UserError
from halluc.types import Sample


@dataclass(frozen=True)
class Shard:
    """One of several parts of the images of each benchmark.

    Attributes:
        number: Its number, from 1.
        count: The number of parts.
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}of{self.count}"

    def of(self, samples: Sequence[Sample]) -> list[Sample]:
        """Return this part: all samples of every `count`-th image."""
        images = {id: place for place, id in enumerate(dict.fromkeys(s.image_id for s in samples))}
        mine = self.number - 1
        return [s for s in samples if images[s.image_id] % self.count == mine]


def parse_shard(text: str) -> Shard:
    """Parse "3/8", the third of eight.

    Raises:
        UserError: If it is something else.
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise UserError(f"--shard {text!r}: write 3/8 for the third of eight, 8/8 for the last")
    return Shard(number, count)


def shard_from(environment: Mapping[str, str] = os.environ) -> Shard | None:
    """Find this process's shard in what a launcher says; None where there is none.

    torchrun and accelerate set RANK and WORLD_SIZE; a Slurm job array sets SLURM_ARRAY_TASK_ID,
    with _MIN, _MAX and _STEP.

    Raises:
        UserError: If what is set is not a shard.
    """
    try:
        if int(environment.get("WORLD_SIZE", "1")) > 1:
            return _shard(int(environment["RANK"]), int(environment["WORLD_SIZE"]))
        if "SLURM_ARRAY_TASK_ID" in environment:
            first = int(environment.get("SLURM_ARRAY_TASK_MIN", "0"))
            step = int(environment.get("SLURM_ARRAY_TASK_STEP", "1"))
            place = (int(environment["SLURM_ARRAY_TASK_ID"]) - first) // step
            return _shard(place, int(environment["SLURM_ARRAY_TASK_COUNT"]))
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise UserError(
            f"RANK and WORLD_SIZE, or Slurm's SLURM_ARRAY_TASK_ID and _COUNT, do not name a shard "
            f"({error}); give --shard 3/8, or --shard none"
        ) from error
    return None


def _shard(place: int, count: int) -> Shard:
    if not 0 <= place < count:
        raise ValueError(f"{place} of {count}")
    return Shard(place + 1, count)
