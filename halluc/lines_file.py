"""Files of JSON objects, a line each: appended by one process at a time, read by any."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

from halluc.errors import UserError
from halluc.files import write_whole

LEASE = 60.0
"""Seconds after which a writer on another machine that gives no sign of life counts as gone."""
MORE = "more"
"""The name under which a line says that its group goes on."""
SYNC_EVERY = 1.0
"""Seconds between two times that appended lines are brought to the disk."""


@dataclass
class Lines:
    """What a file of lines holds.

    Attributes:
        records: The line's number, from 1, and the object on it.
        broken: The numbers of lines that are not JSON objects, or that `check` refused.
        unfinished: The numbers of the last lines, if the end of their group is not there.
        torn: Whether the file ends in the middle of a line or of a group.
    """

    records: list[tuple[int, Any]] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    unfinished: list[int] = field(default_factory=list)
    torn: bool = False


def read_lines(path: Path, check: Callable[[dict[str, Any]], Any] = dict) -> Lines:
    r"""Read a file of lines; one that is missing has none.

    A line counts once its "\n" is there, and a group of lines once its last one is: what follows
    was cut short, or is being written. All lines of a group but the last say that there is "more".

    Args:
        check: Makes of an object what is wanted of it; a ValueError, TypeError or KeyError says
            that the line is broken.

    Raises:
        UserError: If the file cannot be read.
    """
    import jsonlines

    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return Lines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    *whole, rest = raw.split(b"\n")
    lines = Lines(torn=bool(rest))
    reader = jsonlines.Reader(whole)
    for number in range(1, len(whole) + 1):
        try:
            record = reader.read(type=dict)
            lines.unfinished = [*lines.unfinished, number] if record.pop(MORE, False) else []
            lines.records.append((number, check(record)))
        except (jsonlines.Error, ValueError, TypeError, KeyError, RecursionError):
            lines.broken.append(number)
            lines.unfinished = []
    if lines.unfinished:
        lines.torn = True
        lines.records = [line for line in lines.records if line[0] < lines.unfinished[0]]
    return lines


def line_of(record: Mapping[str, Any]) -> bytes:
    """Write an object as a line; what UTF-8 does not have is escaped.

    Raises:
        ValueError: If it holds nan or infinity, which JSON does not have.
    """
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(record, allow_nan=False).encode() + b"\n"


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a whole file of lines in one step."""
    write_whole(path, b"".join(map(line_of, records)))


class Appender:
    """A file of lines that this process alone appends to; `appending` makes it."""

    def __init__(self, path: Path, stream: FileIO) -> None:
        self._path, self._stream, self._synced = path, stream, time.monotonic()
        self.lost: str | None = None

    def append(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Append a group of lines, all or none; they survive the end of this process.

        They are brought to the disk together with those of the next second.

        Raises:
            UserError: If the disk is full, or another process has taken over the file.
        """
        if self.lost is not None:
            raise UserError(f"{self._path}: another process has taken it over ({self.lost})")
        if not records:
            return
        before = os.fstat(self._stream.fileno()).st_size
        try:
            *first, last = records
            group = [line_of({**record, MORE: True}) for record in first] + [line_of(last)]
            _write_all(self._stream.fileno(), b"".join(group))
            if time.monotonic() - self._synced > SYNC_EVERY:
                self.sync()
        except OSError as error:
            os.ftruncate(self._stream.fileno(), before)
            raise UserError(
                f"{self._path}: cannot be written ({error.strerror}); what is kept stays, and the "
                "same command goes on from there"
            ) from error

    def sync(self) -> None:
        """Bring what was appended to the disk."""
        os.fsync(self._stream.fileno())
        self._synced = time.monotonic()


@contextmanager
def appending(
    path: Path,
    check: Callable[[dict[str, Any]], Any] = dict,
    report: Callable[[str], None] = lambda text: None,
) -> Iterator[Appender]:
    """Open a file of lines to append to, as its only writer; wait while another process is.

    A lock next to it names host and process. It is taken over when that process is gone: at once
    on one machine, after `LEASE` seconds without a sign of life on another.

    Lines that are broken or cut short, by a crash or by hand, are taken out first and kept in
    `<name>.broken`.

    Args:
        check: As for `read_lines`.
        report: Is told of waiting and of repairs.

    Raises:
        UserError: If the folder cannot be written to.
    """
    from filelock import SoftFileLease, Timeout

    holder: list[Appender] = []

    def compromised(why: Any) -> None:
        for appender in holder:
            appender.lost = str(getattr(why, "reason", why))

    lease = SoftFileLease(
        f"{path}.lock", lease_duration=LEASE, on_compromise=compromised, thread_local=False
    )
    try:
        try:
            lease.acquire(timeout=0)
        except Timeout:
            report(f"{path} is being written by process {owner_of(path)}; waiting for it to end")
            lease.acquire(poll_interval=0.2)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error
    try:
        repair(path, check, report)
        with path.open("ab", buffering=0) as raw:
            appender = Appender(path, raw)
            holder.append(appender)
            try:
                yield appender
            finally:
                os.fsync(raw.fileno())
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        lease.release()


def owner_of(path: Path) -> str | None:
    """Name the process and the host that write a file now: "4711 on node3"; None if none does."""
    try:
        lines = Path(f"{path}.lock").read_text(errors="replace").splitlines()
    except OSError:
        return None
    said = dict(line.split("=", 1) for line in lines if "=" in line)
    return f"{said.get('pid', '?')} on {said.get('host', '?')}"


def repair(
    path: Path, check: Callable[[dict[str, Any]], Any], report: Callable[[str], None]
) -> None:
    """Take broken lines out of a file, and what follows its last line; keep them next to it."""
    lines = read_lines(path, check)
    if not lines.broken and not lines.torn:
        return
    *whole, rest = path.read_bytes().split(b"\n")
    bad = {*lines.broken, *lines.unfinished}
    removed = [line for number, line in enumerate(whole, 1) if number in bad] + [rest] * bool(rest)
    with Path(f"{path}.broken").open("ab") as stream:
        stream.write(b"".join(line + b"\n" for line in removed))
    kept = [line for number, line in enumerate(whole, 1) if number not in bad]
    write_whole(path, b"".join(line + b"\n" for line in kept))
    first = f", first line {lines.broken[0]}" if lines.broken else ""
    cut = ", and the last ones were cut short" if lines.torn else ""
    report(f"{path}: {len(lines.broken)} broken lines{first}{cut}; {path.name}.broken has them")


def _write_all(descriptor: int, raw: bytes) -> None:
    rest = memoryview(raw)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
