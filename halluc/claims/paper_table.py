"""Tables as papers print them, and the claims that are in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from halluc.claims.claim import GREEDY, Claim, claim_id
from halluc.config import DecodingConfig
from halluc.errors import UserError
from halluc.scoring.base import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSING, WORSE = "-", "!"
"""A cell without a number, or with the baseline's; the mark of a number worse than that."""


class PaperTable(BaseModel):
    """Rows of one table that share model, benchmark and decoding.

    Attributes:
        by: Whose table it is: halluc's name of the method that the paper is about, or the paper's.
        place: Where in the paper, or in its repository.
        second_hand: Where it was read, if not there.
        unverified: What nobody has verified.
        decoding, baseline_decoding: Of methods and baseline; the latter is the former by default.
        tag: The end of the names of claims, where a paper has several tables of one kind.
        columns: Metrics, separated by spaces.
        baseline, methods: Numbers as they are printed, one a column.
        method_args: Parameters that are stated and are not halluc's own, by method.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: str
    paper: Annotated[str, Field(pattern=r"^(arXiv:\d{4}\.\d{5}|[\w.+ -]+)$")]
    place: str
    second_hand: str = ""
    unverified: str = ""
    model: str
    benchmark: str
    decoding: DecodingConfig = GREEDY
    baseline_decoding: DecodingConfig | None = None
    prompt: str = ""
    protocol: str = ""
    tag: str = ""
    columns: str
    baseline: str
    methods: Annotated[dict[str, str], Field(min_length=1)]
    method_args: dict[str, dict[str, Any]] = {}
    note: str = ""

    @property
    def source(self) -> str:
        """Where the numbers were read, and what of them is not certain."""
        read = f"at second hand: {self.second_hand}" if self.second_hand else self.place
        return f"{read}; unverified: {self.unverified}" if self.unverified else read

    def claims(self) -> Iterator[Claim]:
        """Yield a claim for each number of a method.

        Raises:
            ValueError: If a row is longer or shorter than the columns, or a number is not marked as
                its direction says.
        """
        metrics = self.columns.split()
        base = self._row("baseline", self.baseline, len(metrics))
        for method, text in self.methods.items():
            row = self._row(method, text, len(metrics))
            for metric, (plain, _), (value, worse) in zip(metrics, base, row, strict=True):
                if value is None or plain is None:
                    continue
                claim = self._claim(method, metric, plain, value)
                if (is_better(claim) is False) is not worse:
                    said = "is worse than" if not worse else "is not worse than"
                    raise ValueError(f"{claim.id}: {value:g} {said} the baseline's {plain:g}")
                yield claim

    def _claim(self, method: str, metric: str, plain: float, value: float) -> Claim:
        whose = [] if self.by == method else [f"in-{self.by}"]
        id = claim_id(
            method, self.benchmark, metric, self.model, "-".join([*whose, self.tag]).strip("-")
        )
        return Claim(
            id=id,
            method=method,
            method_args=self.method_args.get(method, {}),
            paper=self.paper,
            table=self.place,
            source=self.source,
            model=self.model,
            benchmark=self.benchmark,
            metric=metric,
            decoding=self.decoding,
            baseline_decoding=self.baseline_decoding or self.decoding,
            prompt=self.prompt,
            protocol=self.protocol,
            baseline=plain,
            value=value,
            note=self.note,
        )

    def _row(self, name: str, text: str, columns: int) -> list[tuple[float | None, bool]]:
        cells = text.split()
        if len(cells) != columns:
            raise ValueError(f"{name} has {len(cells)} numbers for {columns} columns")
        return [
            (None if cell == MISSING else float(cell.removesuffix(WORSE)), cell.endswith(WORSE))
            for cell in cells
        ]


def higher_is_better(claim: Claim) -> bool | None:
    """Return the direction in which a claim's metric is better.

    Raises:
        UserError: If halluc has no such benchmark or metric.
    """
    metrics = REGISTRY.get(claim.benchmark).card.metrics
    for metric in metrics:
        if metric.name == claim.metric:
            return metric.higher_is_better
    raise UserError(f"{claim.id}: {claim.benchmark} has no metric {claim.metric!r}")


def is_better(claim: Claim) -> bool | None:
    """Return whether a claim is that the method makes the metric better."""
    higher = higher_is_better(claim)
    return None if higher is None else (claim.difference > 0) is higher
