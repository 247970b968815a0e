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
        launched: Whether a launcher started the processes of all parts, as torchrun does; then
            the last one scores, where otherwise a run without a shard does.
    """

    number: int
    count: int
    launched: bool = False

    def __str__(self) -> str:
        return f"{self.number}of{self.count}"

    def of(self, samples: Sequence[Sample]) -> list[Sample]:
        """Return this part: all samples of every `count`-th image."""
        images = dict.fromkeys(sample.image_id for sample in samples)
        mine = {image for n, image in enumerate(images) if n % self.count == self.number - 1}
        return [sample for sample in samples if sample.image_id in mine]


def find_shard(text: str | None, environment: Mapping[str, str] = os.environ) -> Shard | None:
    """Find the part that this process has to answer; None for all.

    Args:
        text: "3/8", the third of eight; "auto", what a job array or a launcher says; "none", all.
            None is "auto" where a launcher says something, and all elsewhere.

    Raises:
        UserError: If it is something else, or nothing says what "auto" is.
    """
    if text == "none":
        return None
    if text is None:
        return _launched(environment)
    if text == "auto":
        shard = _launched(environment) or _of_array(environment)
        if shard is None:
            raise UserError(
                "--shard auto: neither RANK and WORLD_SIZE nor SLURM_ARRAY_TASK_ID are set; "
                "write 3/8 for the third of eight"
            )
        return shard
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip())
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise UserError(f"--shard {text!r}: write 3/8 for the third of eight, 8/8 for the last")
    return Shard(number, count)


def _launched(environment: Mapping[str, str]) -> Shard | None:
    """Read what torchrun and accelerate set: RANK and WORLD_SIZE."""
    if "WORLD_SIZE" not in environment:
        return None
    count = _number(environment, "WORLD_SIZE")
    place = _number(environment, "RANK", 0 if count == 1 else None)
    return _shard(place, count, "RANK", "WORLD_SIZE", launched=True) if count > 1 else None


def _of_array(environment: Mapping[str, str]) -> Shard | None:
    """Read what a Slurm job array sets: its tasks are numbered from _MIN in steps of _STEP."""
    name = "SLURM_ARRAY_TASK"
    if f"{name}_ID" not in environment:
        return None
    first = _number(environment, f"{name}_MIN", 0)
    step = max(1, _number(environment, f"{name}_STEP", 1))
    place, rest = divmod(_number(environment, f"{name}_ID") - first, step)
    count = _number(environment, f"{name}_COUNT")
    return _shard(-1 if rest else place, count, f"{name}_ID", f"{name}_COUNT")


def _shard(place: int, count: int, *names: str, launched: bool = False) -> Shard:
    if not 0 <= place < count:
        raise UserError(
            f"{' and '.join(names)} name no shard, part {place + 1} of {count}; give --shard 3/8, "
            "or --shard none for all"
        )
    return Shard(place + 1, count, launched)


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name, "" if default is None else str(default))
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise UserError(
            f"{name} is {text!r}, not a number, so it names no shard; give --shard 3/8, or "
            "--shard none for all"
        )
    return int(text)
