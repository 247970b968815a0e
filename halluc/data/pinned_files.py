"""Published files: their cache, and the checks that they have not changed.

Benchmarks are files of their publishers and are not shipped with halluc. A fetched file is checked
against a checksum: the one in the source where it is known, otherwise the one that was recorded at
first use. A file that has changed is an error, because its scores would not be comparable.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from halluc.data.records import text_of
from halluc.errors import UserError
from halluc.files import write_json, write_whole
from halluc.validation import json_value


def cache_folder() -> Path:
    """Return the folder of fetched files and records: HALLUC_CACHE, else ~/.cache/halluc."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "halluc"
    return Path(os.environ.get("HALLUC_CACHE", default))


def offline() -> bool:
    """Return whether the user switched the network off, by Hugging Face's own variables."""
    names = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    return any(os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"} for name in names)


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises:
        UserError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def fetch(url: str, sha256: str) -> Path:
    """Return a published file, from the cache or else from its publisher.

    Args:
        url: Names a pinned commit.
        sha256: The file's checksum.

    Raises:
        UserError: If it cannot be fetched, or is another file.
    """
    path = cache_folder() / sha256[:12] / url.rsplit("/", 1)[1]
    if not path.is_file():
        _download(url, path)
    if (actual := checksum(path)) != sha256:
        path.unlink()
        raise UserError(
            f"{url}: has checksum {actual[:12]}, not {sha256[:12]}: not the pinned file"
        )
    return path


def _download(url: str, path: Path) -> None:
    import httpx2

    if offline():
        raise UserError(f"{url} is not in {cache_folder()} and the network is switched off")
    try:
        reply = httpx2.get(url, timeout=60, follow_redirects=True).raise_for_status()
    except (httpx2.HTTPError, httpx2.InvalidURL, ImportError, ValueError) as error:
        reason = str(error).split("\n", 1)[0]  # what follows is a link that explains the status
        raise UserError(f"cannot fetch {url}: {reason}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, reply.content)


def recorded(name: str) -> dict[str, str]:
    """Return the facts recorded at a data set's first use; empty if it was not used before."""
    return _records(_seen()).get(name, {})


def _seen() -> Path:
    return cache_folder() / "seen.json"


def _records(path: Path) -> dict[str, dict[str, str]]:
    """Read what was recorded: a data set's name to its facts."""
    if not path.is_file():
        return {}
    try:
        records = json_value(text_of(path))
    except (ValueError, UserError):
        records = None
    if not isinstance(records, dict) or not all(map(_are_facts, records.values())):
        raise UserError(
            f"{path}: is not a record of data sets; remove {path}, and what is used next is "
            f"recorded again"
        )
    return records


def _are_facts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(fact, str) for fact in value.values())


def verify(name: str, facts: dict[str, str]) -> None:
    """Compare facts about a data set with those recorded at its first use, or record them.

    Args:
        name: The data set's hub id, or the name of the benchmark whose files it is.
        facts: Revision and checksums; only those recorded before are compared.

    Raises:
        UserError: If one of them has changed.
    """
    path = _seen()
    records = _records(path)
    known = records.setdefault(name, {})
    before = dict(known)
    for key, value in facts.items():
        if known.setdefault(key, value) != value:
            raise UserError(
                f"{name}: {key} is {value[:12]}, was {known[key][:12]} when first used; "
                f"get that version back, or remove {name!r} from {path} to accept the new one"
            )
    if known != before:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, records, sort_keys=True)
