"""Descriptions of images of one's own: a folder with images and a table that names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from halluc.benchmarks._own_captions import OwnCaptions, card, target
from halluc.benchmarks._own_data import OwnTable, TableOptions
from halluc.data.own_table import cell, listed, names_in
from halluc.data.sample_selection import first_images
from halluc.errors import UserError
from halluc.scoring.base import benchmark
from halluc.types import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from halluc.data.records import Row


class CaptionOptions(TableOptions):
    """What can be said about a table of images to describe."""

    objects_column: str = Field("objects", min_length=1)
    references_column: str = Field("references", min_length=1)
    max_new_tokens: int = Field(512, ge=1, description="Where a description is cut.")


@benchmark("caption")
class OwnCaption(OwnTable, OwnCaptions):
    """Descriptions; a column lists what is in the image, else they have only a length.

    The vocabulary is all objects of the table: what a description names of it that is not listed
    for its image is hallucinated. Objects that references name are in the image too.
    """

    Options = CaptionOptions
    card = card("Descriptions of one's own images")

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Return a request to describe each of the first `limit` images.

        Raises:
            UserError: If the table is broken or an image missing; names file, line and column.
        """
        return first_images(self._requests(), limit)

    def _requests(self) -> Iterator[Sample]:
        annotated = self._annotated()
        question = self.options.question_column
        for id, image, row, load_image in self.asked_rows():
            asked = cell(row, question, "question_column") if question in row.fields else ""
            yield Sample(
                id=id,
                image_id=image,
                prompt=asked or self.prompts[self.prompt],
                load_image=load_image,
                target=self._target(row) if annotated else None,
                max_new_tokens=self.options.max_new_tokens,
            )

    def _annotated(self) -> bool:
        """Return whether the table says what is in the images.

        Raises:
            UserError: If only some of its rows do.
        """
        column, rows = self.options.objects_column, self.rows()
        lacking = [row for row in rows if column not in row.fields]
        if lacking and (len(lacking) < len(rows) or column != CaptionOptions().objects_column):
            raise UserError(
                f"{lacking[0].where}: has no column {column!r}; list there what is in the image, "
                "or name the column: objects_column=COLUMN"
            )
        return not lacking

    def _target(self, row: Row) -> Mapping[str, list[str]]:
        column = self.options.references_column
        references = listed(row, column) if column in row.fields else []
        return target(names_in(row, self.options.objects_column), references)

    def vocabulary(self) -> list[str]:
        """Return all objects of the table, in order of appearance."""
        column = self.options.objects_column
        rows = (row for row in self.rows() if column in row.fields)
        return list(dict.fromkeys(name for row in rows for name in names_in(row, column)))
