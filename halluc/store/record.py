"""Records: answers that somebody else's code gave, and what their publisher says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from halluc.data.pinned_files import checksum

SUFFIXES = (".gz", ".json", ".jsonl", ".csv", ".tsv", ".xlsx", ".eval", ".txt")
"""What the names of files of answers end in, and records' names do not."""


class Record(BaseModel):
    """What is known of answers that were not asked here.

    A record states nothing that its publisher does not: where `decoding` is None, nothing is known.

    Attributes:
        name: Its name in the catalogue, or its file's.
        source: Where it is from: "https://github.com/owner/name@commit:path", or a file's name.
        sha256: Of the published file.
        licence: Of the answers; None where none is stated.
        model, method, decoding: As they are stated, in the publisher's words.
        baseline: The name of the record it is compared with; its own for a baseline.
        trained: Whether the method is another checkpoint, and nothing at inference time.
        caution: What a reader of its scores has to know.
        tool: The harness that wrote the file, and its version; "" for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    source: str
    sha256: str
    licence: str | None = None
    model: str | None = None
    method: str | None = None
    decoding: str | None = None
    baseline: str
    trained: bool = False
    caution: str = ""
    tool: str = ""

    @classmethod
    def of_file(cls, file: Path, name: str = "", against: str = "", **stated: Any) -> Record:
        """Describe a file of answers on this machine.

        Args:
            name: The record's; "" for the file's without what it ends in (SUFFIXES).
            against: Name of the record it is compared with; "" for a baseline.
            stated: What is stated of it: `model`, `method`, `decoding`, `tool`.

        Raises:
            UserError: If it cannot be read.
        """
        named = name or _bare(file.name)
        known = {"source": file.name, "sha256": checksum(file), "baseline": against or named}
        return cls(name=named, **known, **stated)


def _bare(name: str) -> str:
    while ends := [suffix for suffix in SUFFIXES if name.endswith(suffix) and name != suffix]:
        name = name.removesuffix(ends[0])
    return name
