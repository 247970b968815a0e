"""Get published answers from their publishers, or from files on this machine."""

from __future__ import annotations

import gzip
import zlib
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from halluc.data.pinned_files import cache_folder, fetch
from halluc.errors import UserError
from halluc.files import write_whole

if TYPE_CHECKING:
    from halluc.recorded.published_answers import PublishedFile


def get(file: PublishedFile, folder: Path | None = None) -> Path:
    """Return a published file: from the cache, a folder, or else its publisher.

    Args:
        folder: Where copies may be, under any name, gzipped or not: the checksum tells them.

    Raises:
        UserError: If it cannot be fetched, is another file, or is not in the folder.
    """
    if folder is None:
        return fetch(file.url, file.sha256)
    found = _by_checksum(folder).get(file.sha256)
    if found is None:
        raise UserError(f"{folder}: has no copy of {file.name} (sha256 {file.sha256[:12]}...)")
    kept = cache_folder() / file.sha256[:12] / Path(file.path).name
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, _content(found))
    return kept


@cache
def _by_checksum(folder: Path) -> dict[str, Path]:
    """Find the files below a folder by the checksum of what they hold, unpacked."""
    if not folder.is_dir():
        raise UserError(f"{folder}: is not a folder")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.json*")):
        if path.is_file():
            found.setdefault(sha256(_content(path)).hexdigest(), path)
    return found


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    if path.suffix != ".gz":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be unpacked ({error})") from None
