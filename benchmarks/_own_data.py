"""The base of benchmarks of one's own data: a folder with images, and a table of questions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from halluc.config import content_hash
from halluc.data import own_table
from halluc.data.image_folder import ImageFolder
from halluc.data.pinned_files import checksum
from halluc.errors import UserError
from halluc.scoring.base import Benchmark
from halluc.validation import checked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from PIL.Image import Image

    from halluc.data.records import Row

DATASET = "files of one's own"
Loader = "Callable[[], Image]"


class Options(BaseModel):
    """What can be said about a folder of one's own, as `--benchmark-args` takes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TableOptions(Options):
    """What can be said about a table; columns are named as in its first line."""

    table: str = Field("", description="Which table, where there are several.")
    image_column: str = Field("image", min_length=1)
    question_column: str = Field("question", min_length=1)


class OwnData(Benchmark):
    """A folder of the user's own, whose name the run's benchmark holds.

    Subclasses define `card`, `Options`, `files` and `samples`.

    Args:
        folder: The files that describe the images, and the images at any depth.
        images: The folder of the images, where it is another one.
        options: See `Options`.

    Raises:
        UserError: If an option is unknown or wrong.
    """

    own = True
    Options: ClassVar[type[Options]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Offer the fields of `Options` as options."""
        super().__init_subclass__(**kwargs)
        if "Options" in vars(cls):
            cls.own_options = tuple(cls.Options.model_fields)

    def __init__(
        self,
        protocol: str | None = None,
        prompt: str = "official",
        folder: Path | None = None,
        images: Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(protocol, prompt, folder)
        if folder is not None:
            self.name = f"{self.name}-{own_table.folder_name(folder)}"
        self.options: Any = checked(self.Options, options, self.name)
        self._images = images

    def folder_missing(self) -> UserError:
        """Return an error that says how a folder of one's own is named."""
        return UserError(f"{self.name}: name your folder: --benchmarks {self.name}:FOLDER")

    @property
    def images(self) -> ImageFolder:
        """The images."""
        return ImageFolder(self._images or self.given())

    @property
    def files_needed(self) -> str:
        """What the folder has to hold, in words."""
        return "your images and a table"

    def files(self) -> list[Path]:
        """Return the files that say what is asked.

        Raises:
            UserError: If one is missing.
        """
        raise NotImplementedError

    @property
    def revision(self) -> str:
        """A hash of the files that say what is asked, and of the options; "" without a folder."""
        if self.folder is None:
            return ""
        hashes = [checksum(path) for path in self.files()]
        return content_hash([hashes, self.options.model_dump(mode="json")])


class OwnTable(OwnData):
    """A folder with images and one table, a row a sample."""

    def files(self) -> list[Path]:
        """Return the table."""
        return [own_table.find_table(self.given(), self.options.table)]

    def rows(self) -> list[Row]:
        """Read the table."""
        return own_table.read_table(self.files()[0])

    def asked_rows(self) -> Iterator[tuple[str, str, Row, Callable[[], Image]]]:
        """Yield an id, the image's path, the row and what opens the image.

        Raises:
            UserError: If the table is broken or an image missing; names file, line and column.
        """
        images = self.images
        for id, image, row in own_table.with_images(self.rows(), images, self.options.image_column):
            yield id, image, row, partial(images.open, image, row.where)
