"""Files written whole or not at all, also where the disk is full or the power goes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from uuid import uuid4


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file in one step: a reader finds the old content or the new one, never a part.

    The content goes to a new file in the same folder, which takes the name once it is on the disk.

    Args:
        content: Text is written as UTF-8; lone surrogates, which UTF-8 does not have, as "?".

    Raises:
        OSError: If the disk is full or the folder cannot be written to; the old file is as before.
    """
    raw = content if isinstance(content, bytes) else content.encode(errors="replace")
    with replacing(path) as stream:
        stream.write(raw)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Give a stream to write a file's new content to; it replaces the file when the block ends.

    Where the block raises, the old file stays and nothing is left behind.
    """
    new = path.with_name(f".{path.name[:200]}.{uuid4().hex[:8]}.new")
    try:
        with new.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(path)
    except BaseException:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_json(path: Path, content: Any, **options: Any) -> None:
    """Write JSON in one step, indented by two.

    Args:
        content: Without nan and infinity; see `halluc.data.records.finite`.
        options: Further arguments of `json.dumps`.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False, **options)
    write_whole(path, text + "\n")


def sync_folder(folder: Path) -> None:
    """Bring a folder's new names to the disk, where the system can do that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        with suppress(OSError):  # some network file systems sync no folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
