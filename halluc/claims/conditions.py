"""The conditions of a claim, and in which of them a row of a board is another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from halluc.config import DecodingConfig
from halluc.interventions.compose import find
from halluc.leaderboard.board import kind_of_decoding
from halluc.scoring.base import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from halluc.claims.claim import Claim
    from halluc.leaderboard.board import Row


def differing(claim: Claim, row: Row, baseline: Row | None) -> list[str]:
    """List in what a row is not what a claim is about.

    Of published answers nobody knows wording and parameters; both are taken to be the claim's,
    where the wording is one of the benchmark's.

    Args:
        baseline: The row that it is compared with, where the board has it.
    """
    published = row.record is not None
    taken = ("", row.prompt, *(REGISTRY.get(claim.benchmark).prompts if published else ()))
    theirs = claim.decoding.model_dump(exclude={"seed"})
    return [
        name
        for name, differs in {
            "model": row.quantization is not None or not claim.known_model.is_called(row.model),
            "images": row.benchmark != claim.benchmark,
            "splits": not _has_all_splits(claim.metric, row),
            "labels": bool(row.labels),
            "decoding": kind_of_decoding(row) == "not stated" or _decoding(row) != theirs,
            "baseline's decoding": baseline is not None and _decoding(baseline) != _decoding(row),
            "parameters": not published and _other_parameters(claim, row.method_args),
            "wording": claim.prompt not in taken,
            "scorer": claim.protocol not in ("", row.protocol),
        }.items()
        if differs
    ]


def _has_all_splits(metric: str, row: Row) -> bool:
    """Return whether a mean over splits is over all: files of others often hold one alone."""
    if "/" in metric:
        return True
    splits = (one.name for one in REGISTRY.get(row.benchmark).card.metrics)
    return all(
        name in row.metrics and row.metrics[name].value is not None
        for name in splits
        if name.endswith(f"/{metric}")
    )


def _decoding(row: Row) -> dict[str, Any]:
    return DecodingConfig.model_validate(row.decoding).model_dump(exclude={"seed"})


def _other_parameters(claim: Claim, args: Mapping[str, Any]) -> bool:
    """Return whether parameters are others than stated, or than halluc's own where none are.

    Those whose own value is None depend on the model, and are not looked at.
    """
    wanted = find(claim.method).parameters(claim.method_args).model_dump(mode="json")
    return any(
        value is not None and name in args and args[name] != value for name, value in wanted.items()
    )
