"""Data sets of the hub read over the network as they are needed, by `datasets`.

For a few images of a large data set: the columns of all rows are read, so a limit asks about the
same images as it does of a copy, and images only as far as they are asked about.
"""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any

from halluc.data.pinned_files import offline, recorded, verify
from halluc.errors import UserError
from halluc.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL.Image import Image

FEW = 64
"""Images; more are worth a copy."""


class UnfetchedTable:
    """Rows of Parquet files elsewhere, as a `Table` has them, but for the names of images.

    Args:
        name: The data set, for errors.
        files: Addresses of the files, in order; patterns too.
        columns: The columns of `rows`.
        image: The column of the image.
    """

    def __init__(
        self, name: str, files: tuple[str, ...], columns: tuple[str, ...], image: str
    ) -> None:
        self._name, self._files, self._columns, self._image = name, files, columns, image
        self._reader: Iterator[dict[str, Any]] | None = None
        self._next = 0
        self._contents: dict[int, Any] = {}

    def with_image(self, column: str) -> UnfetchedTable:
        """Return the same rows with the images of another column."""
        return UnfetchedTable(self._name, self._files, self._columns, column)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """All rows, without images.

        Raises:
            UserError: If they cannot be read, or a column is missing.
        """
        return list(self._read(self._columns))

    def image(self, row: int) -> Image:
        """Decode a row's image, RGB; what was asked for is kept, and rows in order are read once.

        Raises:
            BadImage: If it cannot be read.
            UserError: If the row cannot be read.
        """
        from halluc.images import open_image

        if row not in self._contents:
            self._contents[row] = self._content(row)
        value = self._contents[row]
        content = value["bytes"] if isinstance(value, dict) else value
        return open_image(content, f"{self._name}, row {row}")

    def _content(self, row: int) -> Any:
        if self._reader is None or row < self._next:
            self._reader, self._next = self._read((self._image,)), 0
        skipped, self._next = row - self._next, row + 1
        return next(islice(self._reader, skipped, None))[self._image]

    def _read(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        from datasets import load_dataset

        try:
            rows = load_dataset(
                "parquet",
                data_files=list(self._files),
                split="train",  # what `datasets` calls files without a split
                streaming=True,
                columns=list(columns),
            )
            yield from rows.decode(False)
        except Exception as error:  # of datasets, pyarrow, fsspec, the network
            reason = printable(str(error).strip().split("\n", 1)[0][:200])
            raise UserError(f"{self._name}: cannot be read from the hub ({reason})") from error


def unfetched(
    repo: str, pattern: str, columns: tuple[str, ...], image: str, revision: str, limit: int | None
) -> UnfetchedTable | None:
    """Return a data set that is read where it is, if that is less than fetching it.

    Args:
        limit: The most images that are asked about; None for all.

    Returns:
        None for more than `FEW` images, without a network or `datasets`, and where files are in
        the hub's cache.

    Raises:
        UserError: If the hub cannot be reached, or the revision is not the one first used.
    """
    wanted = revision or recorded(repo).get("revision")
    whole = limit is None or limit > FEW or offline() or find_spec("datasets") is None
    if whole or cached(repo, pattern, wanted):
        return None
    commit = wanted or newest(repo)
    verify(repo, {"revision": commit})
    return UnfetchedTable(repo, (address(repo, commit, pattern),), columns, image)


def address(repo: str, commit: str, pattern: str) -> str:
    """Return where files of a commit are on the hub."""
    return f"hf://datasets/{repo}@{commit}/{pattern}"


def cached(repo: str, pattern: str, revision: str | None) -> bool:
    """Return whether files are in the hub's cache."""
    from pathlib import Path

    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(
            repo, repo_type="dataset", revision=revision, local_files_only=True
        )
    except (OSError, ValueError):
        return False
    return any(Path(found).glob(pattern))


def newest(repo: str) -> str:
    """Return a data set's newest commit.

    Raises:
        UserError: If the hub does not say.
    """
    from huggingface_hub import HfApi

    try:
        commit = HfApi().dataset_info(repo).sha
    except Exception as error:  # of the network and of the hub
        reason = printable(str(error).strip().split("\n", 1)[0][:200])
        raise UserError(f"{repo}: cannot be read from the hub ({reason})") from error
    if commit is None:
        raise UserError(f"{repo}: the hub does not name its commit")
    return commit
