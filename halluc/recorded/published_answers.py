"""The catalogue: where published answers are, and what their publishers say of them.

It holds no answers: many are published without a licence. `halluc recorded fetch` gets them from
their publishers.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from halluc.config import DecodingConfig
from halluc.errors import UserError
from halluc.store.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence


class PublishedFile(BaseModel):
    """A file at a pinned commit of a public repository.

    Attributes:
        name: Its name in the catalogue.
        repository, commit, path: Where it is.
        licence: None where none is stated.
        sha256, bytes: Of the file as it is published.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    repository: str
    commit: str
    path: str
    licence: str | None
    sha256: str
    bytes: int

    @property
    def url(self) -> str:
        """Where the file itself can be read."""
        place = self.repository.replace("https://github.com/", "https://raw.githubusercontent.com/")
        return f"{place}/{self.commit}/{self.path}"

    @property
    def source(self) -> str:
        """The repository at its commit, and the path there."""
        return f"{self.repository}@{self.commit[:7]}:{self.path}"


class PublishedAnswers(PublishedFile):
    """A file of answers.

    Attributes:
        benchmark: Halluc's name of what was asked.
        rows: The number of answers.
        model, method: By halluc's names; the method "baseline" for none.
        model_stated, method_stated, decoding_stated: As the publisher has them; None for nothing.
        decoding: What is stated of it, as halluc's options; None where nothing is.
        baseline: The answers it is compared with: those decoded alike where there are such.
        also_against: Others it may be compared with.
        labels: The label files that belong to it.
        trained: Whether the method is another checkpoint.
        caution: What a reader of its scores has to know.
    """

    benchmark: str
    rows: int
    model: str
    model_stated: str | None
    method: str
    method_stated: str
    decoding: dict[str, Any] | None
    decoding_stated: str | None
    baseline: str | None = None
    also_against: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    trained: bool = False
    caution: str = ""

    @property
    def record(self) -> Record:
        """What a run folder says of them."""
        return Record(
            name=self.name,
            source=self.source,
            sha256=self.sha256,
            licence=self.licence,
            model=self.model_stated,
            method=self.method_stated,
            decoding=self.decoding_stated,
            baseline=self.baseline or self.name,
            trained=self.trained,
            caution=self.caution,
        )

    @property
    def decoded(self) -> DecodingConfig:
        """The decoding; the default where nothing is stated."""
        return DecodingConfig(**(self.decoding or {}))


class Catalogue(BaseModel):
    """Published answers, and the label files they are scored with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    answers: tuple[PublishedAnswers, ...]
    labels: tuple[PublishedFile, ...]

    def find(self, names: Sequence[str]) -> list[PublishedAnswers]:
        """Return those named, or in a folder named ("opera"); all without a name.

        Raises:
            UserError: If nothing has that name.
        """
        for name in names:
            if not any(_named(one.name, name) for one in self.answers):
                known = ", ".join(dict.fromkeys(one.name.split("/")[0] for one in self.answers))
                raise UserError(
                    f"no recorded answers {name!r}; there are {known}, and parts of these"
                )
        return [
            one
            for one in self.answers
            if not names or any(_named(one.name, name) for name in names)
        ]

    def label_file(self, name: str) -> PublishedFile:
        """Return a label file by its name."""
        return next(one for one in self.labels if one.name == name)


def _named(full: str, name: str) -> bool:
    return full == name or full.startswith(name.rstrip("/") + "/")


@cache
def catalogue() -> Catalogue:
    """Read the catalogue."""
    text = (files("halluc.recorded") / "catalogue.json").read_text(encoding="utf-8")
    return Catalogue.model_validate_json(text)
