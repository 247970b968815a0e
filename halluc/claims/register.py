"""The register: claims read from tables as papers print them, a file a family of benchmarks."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from pydantic import ValidationError

from halluc.claims.paper_table import PaperTable
from halluc.errors import UserError
from halluc.suggestions import did_you_mean

if TYPE_CHECKING:
    from halluc.claims.claim import Claim


def read_tables(text: str, name: str) -> list[Claim]:
    """Read claims from a file of tables.

    Args:
        text: TOML with an array of tables `table`, each a `PaperTable`.
        name: The file's, for errors.

    Raises:
        UserError: Naming the file and the table, by number, that is wrong.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{name}: {error}") from None
    found: list[Claim] = []
    for number, fields in enumerate(content.get("table", []), 1):
        try:
            found += PaperTable.model_validate(fields).claims()
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise UserError(f"{name}, table {number}: {where} {first['msg']}".strip()) from None
        except (ValueError, UserError) as error:
            raise UserError(f"{name}, table {number}: {error}") from None
    return found


@cache
def all_claims() -> dict[str, Claim]:
    """Return all claims by their ids, in the order of the files.

    Raises:
        UserError: If a file is wrong, or two claims have one id.
    """
    known: dict[str, Claim] = {}
    folder = files("halluc.claims") / "papers"
    for name in ("pope.toml", "chair.toml", "mme.toml", "amber.toml"):
        for claim in read_tables((folder / name).read_text("utf-8"), name):
            if claim.id in known:
                raise UserError(f"{name}: {claim.id} occurs twice; give its table a 'tag'")
            known[claim.id] = claim
    return known


def find_claim(id: str) -> Claim:
    """Return the claim of an id.

    Raises:
        UserError: If there is none; suggests what was probably meant.
    """
    known = all_claims()
    if id not in known:
        hint = did_you_mean(id, known, "'halluc claims' lists them")
        raise UserError(f"unknown claim {id!r}: {hint}")
    return known[id]


def select(method: str | None = None, benchmark: str | None = None) -> list[Claim]:
    """Return the claims of a method and a benchmark, of all for None.

    Raises:
        UserError: If nothing is claimed of them.
    """
    claims = list(all_claims().values())
    for name, wanted in (("method", method), ("benchmark", benchmark)):
        known = sorted({str(getattr(claim, name)) for claim in all_claims().values()})
        if wanted is not None and wanted not in known:
            raise UserError(f"--{name} {wanted!r}: nothing is claimed of it; {', '.join(known)}")
        claims = [claim for claim in claims if wanted in (None, getattr(claim, name))]
    if not claims:
        raise UserError(f"nothing is claimed of {method!r} on {benchmark!r}")
    return claims
