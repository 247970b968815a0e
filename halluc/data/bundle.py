"""Bundles: what a benchmark reads, in one file for machines without a network.

A bundle is an uncompressed tar. Its first member, `manifest.json`, names all others with their
sizes and checksums; nothing else is ever unpacked.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from halluc.data.pinned_files import checksum
from halluc.errors import UserError
from halluc.files import replacing, sync_folder
from halluc.plain_text import printable

MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 256 * 2**20
_PIECE = 2**20


class Member(BaseModel):
    """A file of a bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @field_validator("name")
    @classmethod
    def _stays_inside(cls, name: str) -> str:
        """Refuse a name that leads out of the folder, or means something else elsewhere."""
        path = PurePosixPath(name)
        if (
            path.is_absolute()
            or str(path) != name
            or ".." in path.parts
            or name in (".", MANIFEST)
            or any(mark in name for mark in ("\\", ":"))
            or not name.isprintable()
        ):
            raise ValueError("leads out of the folder")
        return name


class Manifest(BaseModel):
    """What a bundle holds.

    Attributes:
        benchmark, version: The benchmark, and the version of its card.
        halluc: The version of this package that packed it.
        options: Options of the benchmark it was packed for, but for paths.
        limit: The most images whose files are in it; None for all.
        files: Its files.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    benchmark: str
    version: int
    halluc: str
    options: dict[str, str | int | float | bool] = {}
    limit: int | None = None
    files: list[Member] = []

    @field_validator("files")
    @classmethod
    def _each_once(cls, files: list[Member]) -> list[Member]:
        if len({member.name.lower() for member in files}) < len(files):
            raise ValueError("names a file twice")
        return files


def pack(output: Path, about: Manifest, files: Mapping[str, Path]) -> Manifest:
    """Write a bundle in one step.

    Args:
        about: Describes it; its files are filled in.
        files: A name in the bundle to the file.

    Raises:
        UserError: If a file cannot be read, changes while it is packed, or the bundle cannot be
            written.
    """
    members = [
        Member(name=name, size=path.stat().st_size, sha256=checksum(path))
        for name, path in sorted(files.items())
    ]
    manifest = about.model_copy(update={"files": members})
    try:
        with (
            replacing(output) as stream,
            tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            raw = manifest.model_dump_json(indent=2).encode()
            _add(tar, MANIFEST, len(raw), io.BytesIO(raw))
            for member in members:
                with files[member.name].open("rb") as source:
                    _add(tar, member.name, member.size, source)
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror or error})") from error
    return manifest


def _add(tar: tarfile.TarFile, name: str, size: int, source: IO[bytes]) -> None:
    info = tarfile.TarInfo(name)
    info.size = size
    tar.addfile(info, source)


def unpack(file: Path, folder: Path) -> Manifest:
    """Unpack a bundle into a new folder, whole or not at all.

    Raises:
        UserError: If it is no bundle, a member is not what its manifest says, is a link or a
            device, or would leave the folder; or if the folder exists or cannot be written to.
    """
    if folder.exists():
        raise UserError(f"{folder}: exists already; name a folder that does not")
    new = folder.with_name(f".{folder.name[:200]}.{uuid4().hex[:8]}.new")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            manifest = _manifest(file, tar)
            new.mkdir()
            _unpack_all(file, tar, manifest, new)
        new.rename(folder)
        sync_folder(folder.parent)
    except tarfile.TarError as error:
        raise UserError(f"{file}: is not a whole bundle ({printable(error)})") from None
    except OSError as error:
        named = printable(error.filename or file)
        raise UserError(f"{named}: {error.strerror or error}; nothing was unpacked") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return manifest


def _manifest(file: Path, tar: tarfile.TarFile) -> Manifest:
    first = tar.next()
    if first is None or first.name != MANIFEST or first.type != tarfile.REGTYPE:
        raise UserError(f"{file}: is not a bundle of 'halluc data pack': it begins otherwise")
    if first.size > _LARGEST_MANIFEST or (content := tar.extractfile(first)) is None:
        raise UserError(f"{file}: its manifest of {first.size} bytes is too large")
    try:
        return Manifest.model_validate_json(content.read())
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise UserError(
            f"{file}: its manifest is wrong: {where}: {printable(problem['msg'])} "
            f"({printable(str(problem['input'])[:100])!r})"
        ) from None


def _unpack_all(file: Path, tar: tarfile.TarFile, manifest: Manifest, folder: Path) -> None:
    expected = {member.name: member for member in manifest.files}
    while (info := tar.next()) is not None:
        name = printable(info.name[:200])
        member = expected.pop(info.name, None)
        if member is None:
            raise UserError(
                f"{file}: holds {name!r}, which its manifest does not name or names once"
            )
        if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise UserError(f"{file}: {name!r} is a link, a device or a folder, not a file")
        content = tar.extractfile(info)
        if info.size != member.size or content is None:
            raise UserError(f"{file}: {name!r} has {info.size} bytes, not {member.size}")
        path = folder / member.name
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with path.open("xb") as stream:
            while piece := content.read(_PIECE):
                digest.update(piece)
                stream.write(piece)
        if digest.hexdigest() != member.sha256:
            raise UserError(f"{file}: {name!r} has another checksum than its manifest says")
    if expected:
        missing = printable(next(iter(expected)))
        raise UserError(f"{file}: lacks {missing!r}, which its manifest names; it was cut short")
