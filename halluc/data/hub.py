"""Data sets on the Hugging Face hub."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from halluc.data.hub_rows import UnfetchedTable, unfetched
from halluc.data.pinned_files import checksum, offline, recorded, verify
from halluc.errors import UserError
from halluc.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from PIL.Image import Image


@dataclass(frozen=True)
class Dataset:
    """A data set of parquet files.

    Attributes:
        repo: Its id on the hub.
        files: A split's name to a pattern of its files.
        columns: The columns that are read, besides the image's.
        revision: The pinned commit; "" pins the one that is fetched first.
        image: The column of the image.
    """

    repo: str
    files: Mapping[str, str]
    columns: tuple[str, ...]
    revision: str = ""
    image: str = "image"

    def load(self, split: str) -> Table:
        """Fetch a split, or find it in the cache.

        Raises:
            UserError: If it cannot be fetched, lacks a column, or has changed since the first time.
        """
        paths = fetch_files(self.repo, (self.files[split],), self.revision)
        return Table(tuple(paths), self.columns, self.image)

    def few(self, split: str, limit: int | None) -> Table | UnfetchedTable:
        """Read a split over the network if few images are asked about and it was not fetched.

        Args:
            limit: The most images that are asked about; None for all.

        Raises:
            UserError: As for `load`.
        """
        pattern = self.files[split]
        table = unfetched(self.repo, pattern, self.columns, self.image, self.revision, limit)
        return table or self.load(split)


def fetch_files(
    repo: str, patterns: tuple[str, ...], revision: str = "", unchecked: tuple[str, ...] = ()
) -> list[Path]:
    """Fetch files of a data set from the hub, or find them in its cache.

    Args:
        revision: The pinned commit; "" for the one that was fetched first, which is recorded.
        unchecked: Patterns of further files, too many to record a checksum of each.

    Returns:
        The files that match the patterns, sorted.

    Raises:
        UserError: If they cannot be fetched, or have changed since the first time.
    """
    from pathlib import Path

    from huggingface_hub import snapshot_download

    wanted = revision or recorded(repo).get("revision")
    try:
        snapshot = Path(
            snapshot_download(
                repo,
                repo_type="dataset",
                revision=wanted,
                allow_patterns=[*patterns, *unchecked],
                local_files_only=offline(),
            )
        )
    except (OSError, ValueError) as error:
        reason = str(error).split("\n", 1)[0]
        at = f" at {wanted[:12]}" if wanted else ""
        raise UserError(f"{repo}{at}: cannot be fetched from the hub ({reason})") from error
    paths = sorted({path for pattern in patterns for path in snapshot.glob(pattern)})
    if not paths:
        raise UserError(f"{repo}: {snapshot} has no {' or '.join(patterns)}")
    sums = {str(path.relative_to(snapshot)): checksum(path) for path in paths}
    verify(repo, {"revision": snapshot.name, **sums})
    return paths


def fetch_folder(
    repo: str, patterns: tuple[str, ...], revision: str = "", unchecked: tuple[str, ...] = ()
) -> Path:
    """Fetch files of a data set as `fetch_files` does, and return their folder.

    Args:
        patterns: The first names one file in the folder.

    Raises:
        UserError: If that file cannot be fetched, or one has changed since the first time.
    """
    paths = fetch_files(repo, patterns, revision, unchecked)
    named = [path for path in paths if path.name == patterns[0]]
    if not named:
        raise UserError(f"{repo}: has no {patterns[0]}")
    return named[0].parent


class _RowGroup(NamedTuple):
    """A group of rows: its first row's number, its file, and its number in the file."""

    start: int
    path: Path
    number: int


class Table:
    """Rows of parquet files; images are decoded one at a time, when they are needed.

    Args:
        paths: The files, in order.
        columns: The columns of `rows`.
        image: The column of the image.
    """

    def __init__(self, paths: tuple[Path, ...], columns: tuple[str, ...], image: str) -> None:
        self._paths, self._columns, self._image = paths, columns, image
        self._images = lru_cache(maxsize=2)(self._group_images)

    def with_image(self, column: str) -> Table:
        """Return the same rows with the images of another column."""
        return Table(self._paths, self._columns, column)

    @cached_property
    def image_names(self) -> list[str | None]:
        """The names of all rows' image files; None where the data set does not say."""
        import pyarrow.parquet as pq

        names: list[str | None] = []
        for path in self._paths:
            file = pq.ParquetFile(path)
            column = f"{self._image}.path"
            if column not in (file.schema.column(n).path for n in range(len(file.schema))):
                names += [None] * file.metadata.num_rows
                continue
            images = file.read(columns=[column])[self._image].to_pylist()
            names += [image["path"] if image else None for image in images]
        return names

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """All rows, without images.

        Raises:
            UserError: If a column is missing, or a file is damaged.
        """
        rows: list[dict[str, Any]] = []
        for path in self._paths:
            try:
                rows += self._rows(path)
            except (ArithmeticError, OSError, LookupError, RuntimeError, ValueError) as error:
                reason = printable(str(error)[:200])
                raise UserError(
                    f"{path}: is not a Parquet file that can be read ({reason})"
                ) from None
        return rows

    def _rows(self, path: Path) -> list[dict[str, Any]]:
        import pyarrow.parquet as pq

        names = pq.read_schema(path).names
        for column in (*self._columns, self._image):
            if column not in names:
                listed = printable(", ".join(names))
                raise UserError(f"{path}: has no column {column!r}, only {listed}")
        rows: list[dict[str, Any]] = pq.read_table(path, columns=list(self._columns)).to_pylist()
        return rows

    @cached_property
    def _groups(self) -> list[_RowGroup]:
        """The row groups."""
        import pyarrow.parquet as pq

        groups, start = list[_RowGroup](), 0
        for path in self._paths:
            metadata = pq.read_metadata(path)
            for number in range(metadata.num_row_groups):
                groups.append(_RowGroup(start, path, number))
                start += metadata.row_group(number).num_rows
        return groups

    def _group_images(self, path: Path, number: int) -> list[Any]:
        import pyarrow.parquet as pq

        column = pq.ParquetFile(path).read_row_group(number, columns=[self._image])
        values: list[Any] = column[self._image].to_pylist()
        return values

    def image(self, row: int) -> Image:
        """Decode a row's image, RGB.

        Raises:
            BadImage: If it cannot be read.
        """
        from halluc.images import open_image

        start, path, number = max(group for group in self._groups if group.start <= row)
        value = self._images(path, number)[row - start]
        content = value["bytes"] if isinstance(value, dict) else value
        return open_image(content, f"{path.name}, row {row - start} of group {number}")
