"""What other systems say of a run's descriptions: a file in its folder, which boards read.

`crosscheck_<benchmark>_<key>.json` lies next to the scores of the same samples, whose key it has in
its name; a later cross-check of the same descriptions replaces it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from halluc.config import content_hash
from halluc.errors import UserError
from halluc.files import write_json
from halluc.store.run_folder import writing
from halluc.store.scores_file import MetricValue

if TYPE_CHECKING:
    from pathlib import Path

    from halluc.store.run_folder import RunFolder


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CrossCheckRule(_Part):
    """How a cross-check was made.

    Attributes:
        evidence: The names of the evidence systems.
        passages: For each of them, the keys of the askers of its passages.
        temperature: At which passages were sampled.
        judge: "objects", where named objects were compared, or the model that judged.
        question: "objects", or the wording of the implicit question.
        variant: "paper" or "official_code".
    """

    evidence: tuple[str, ...]
    passages: tuple[tuple[str, ...], ...]
    temperature: FiniteFloat
    judge: str
    question: str
    variant: Literal["paper", "official_code"]

    @property
    def key(self) -> str:
        """Ten hex digits; scores of different keys are not to be compared."""
        return content_hash(self.model_dump(mode="json"))

    @property
    def samples_per_model(self) -> int:
        """The number of passages of each evidence system."""
        return len(self.passages[0])


class CrossCheckFile(_Part):
    """The cross-check of a run's descriptions.

    Attributes:
        asker: Key of the model and method that described.
        benchmark, asked: The benchmark, and the key of the samples it asked.
        rule: How it was made.
        values: A score's name ("explicit_cross") to its value; headline are those boards show.
        n_images: The images that intervals resample.
        checksum: Hash of all the above, which shows an edit by hand.
    """

    format: Literal[1] = 1
    asker: str
    benchmark: str
    asked: str
    rule: CrossCheckRule
    values: dict[str, MetricValue]
    n_images: int
    date: str
    checksum: str = ""

    def checked(self) -> str:
        """Compute the checksum of its content."""
        return content_hash(self.model_dump(mode="json", exclude={"checksum"}))


def crosscheck_path(run: RunFolder, benchmark: str, asked: str) -> Path:
    """Return the path of the cross-check of some samples, whether there is one or not."""
    return run.path / f"crosscheck_{benchmark}_{asked}.json"


def write_crosscheck(run: RunFolder, found: CrossCheckFile) -> Path:
    """Write a cross-check with its checksum, replacing an earlier one as a whole.

    Raises:
        UserError: If the folder cannot be written to.
    """
    path = crosscheck_path(run, found.benchmark, found.asked)
    sealed = found.model_copy(update={"checksum": found.checked()})
    with writing(path):
        write_json(path, sealed.model_dump(mode="json"))
    return path


def find_crosscheck(run: RunFolder, benchmark: str, asked: str) -> CrossCheckFile | None:
    """Read the cross-check of a run's answers to some samples; None where there is none.

    Raises:
        UserError: If it is broken, was edited, or is another asker's.
    """
    path = crosscheck_path(run, benchmark, asked)
    if not path.is_file():
        return None
    again = "remove it, and 'halluc crosscheck' writes it again"
    try:
        found = CrossCheckFile.model_validate_json(path.read_bytes())
    except (OSError, ValidationError, ValueError) as error:
        raise UserError(f"{path}: is not a crosscheck file; {again}") from error
    if found.checksum != found.checked():
        raise UserError(f"{path}: was edited after it was written; {again}")
    if (found.asker, found.asked) != (run.asker.key, asked):
        raise UserError(f"{path}: belongs to other answers; {again}")
    return found
