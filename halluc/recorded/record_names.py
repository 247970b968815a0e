"""Names of recorded runs: what they say which record is compared with which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halluc.errors import UserError
from halluc.plain_text import printable
from halluc.recorded.published_answers import catalogue
from halluc.store import RunFolder
from halluc.validation import shown

if TYPE_CHECKING:
    from pathlib import Path

    from halluc.store.asker import Asker


def check_names(output_dir: Path, asker: Asker, against: str = "") -> None:
    """Check a record's name, and the one it is compared with, before it is put into a folder.

    Args:
        output_dir: The folder of run folders; broken ones among them are passed over.
        asker: Of the record.
        against: The name of the record that it is compared with; "" for a baseline.

    Raises:
        UserError: If another model's or method's record has its name, or `against` names nothing,
            the record itself, or the answers of another model.
    """
    record = asker.record
    assert record is not None
    there = _recorded(output_dir)
    ours = asker.model_id, asker.method.name
    for run in there:
        theirs = run.asker.model_id, run.asker.method.name
        if _name(run) == record.name and theirs != ours:
            raise UserError(
                f"--name {shown(record.name)}: {printable(run.path)} has that name and is of "
                f"{printable(theirs[1])} on {printable(theirs[0])}; give another"
            )
    if not against:
        return
    if against == record.name:
        raise UserError(f"--against {shown(against)}: is the record itself; give it a --name")
    published = {entry.name: entry.model for entry in catalogue().answers}
    models = {_name(run): run.asker.model_id for run in there}
    known = published | models
    if against not in known:
        names = ", ".join(map(printable, sorted(models))) or "none"
        raise UserError(
            f"--against {shown(against)}: no record has that name, in {output_dir} there are "
            f"{names}; put it there first"
        )
    if known[against] != asker.model_id:
        raise UserError(
            f"--against {shown(against)}: is of {printable(known[against])}, not of "
            f"{printable(asker.model_id)}; where that is one model, give both the same --model"
        )


def _recorded(output_dir: Path) -> list[RunFolder]:
    found = []
    for file in sorted(output_dir.glob("*/asker.json")):
        try:
            run = RunFolder.read(file.parent)
        except UserError:
            continue
        if run.asker.record is not None:
            found.append(run)
    return found


def _name(run: RunFolder) -> str:
    return "" if run.asker.record is None else run.asker.record.name
