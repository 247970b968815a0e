"""Boards: rows that stand alone, so that boards of any number of machines can be merged."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from halluc.config import DecodingConfig
from halluc.errors import UserError
from halluc.store.record import Record

SCHEMA_VERSION = 6
COSTS = ("samples", "forward_passes", "prompt_tokens", "tokens", "seconds", "peak_memory_bytes")
"""What every row's cost holds."""

P = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Value(_Part):
    """A metric of one run, with its 95% interval and standard error; None where undefined.

    Attributes:
        higher_is_better: None where neither direction is better.
        headline: Whether tables show it.
        scale: What it is multiplied with to be shown as its authors show it.
        tie_group: 1 for the best of the setting and what cannot be told from it, 2 for the best of
            the rest; None off the headline, and where there is no baseline.
    """

    value: float | None
    low: float | None
    high: float | None
    stderr: float | None
    higher_is_better: bool | None
    headline: bool
    scale: Annotated[float, Field(gt=0)]
    tie_group: Annotated[int, Field(ge=1)] | None = None


class Gap(_Part):
    """A run minus its baseline, on the samples both answered.

    Attributes:
        p: Of the swap test; `holm` and `bh` are the same corrected over the board, by Holm and by
            Benjamini and Hochberg, and None for metrics that are not in the family.
        effect: Cohen's d of paired values, by image.
    """

    value: float
    low: float | None
    high: float | None
    stderr: float | None
    p: P
    effect: float | None
    holm: P | None = None
    bh: P | None = None


class RightWrong(_Part):
    """McNemar's test of a run (ours) and its baseline (theirs); `holm` and `bh` correct mid_p."""

    n: Count
    only_ours: Count
    only_theirs: Count
    exact: P
    mid_p: P
    odds_ratio: float | None
    holm: P | None = None
    bh: P | None = None


class CheckedByOthers(_Part):
    """What other systems say of a row's descriptions, as `halluc crosscheck` found it.

    Attributes:
        key: Hash of all below but the scores; scores of different keys are not to be compared.
        evidence: The evidence systems.
        samples_per_model, temperature: How many passages each of them sampled, and how.
        judge: "objects", where named objects were compared, or the model that judged.
        question: "objects", or the wording of the implicit question.
        counted: Which evidence the scores are of: that of other models, or all where there is none
            or the variant is the published code's.
        explicit, implicit: The scores; None without sentences.
    """

    key: str
    evidence: list[str]
    samples_per_model: Annotated[int, Field(ge=1)]
    temperature: Annotated[float, Field(gt=0)]
    judge: str
    question: str
    variant: Literal["paper", "official_code"]
    counted: Literal["other_models", "with_self"]
    explicit: Value | None
    implicit: Value | None


class Selective(_Part):
    """Risk and coverage of a run (`halluc.scoring.selective_risk`).

    Attributes:
        trusted_by: Whose confidence orders the answers: the method's, or the model's own
            probability of its yes or no.
        coverage: The share of answers that are not withheld.
        risk: The share of errors among those; `full_risk` if none were withheld.
        area: Under the risk-coverage curve.
    """

    trusted_by: Literal["method", "answer_probability"]
    coverage: Value
    risk: Value
    full_risk: Value
    area: Value


class Row(_Part):
    """One method on one benchmark.

    Attributes:
        key: Hash of what the row is about: the setting and the method with its parameters.
        setting: The same without the method. Rows of one setting make one table.
        baseline: Key of the row without a method that this one is compared with: its own if it is
            that row, None if there was none of the same setting.
        run, asker: The run's folder, and the key of the model and method that answered.
        weights: Hash of the weights, or the hub's commit.
        image_processing: The aspect images are given, the image processor's class, and a hash of
            its settings.
        trust_remote_code: Whether the checkpoint's own Python code ran.
        version: The version of the benchmark's card.
        limit: The most images that were asked about; None for all.
        protocol, prompt: Who reads the answers, and whose wording asks.
        judge: The model that judged the answers; None where none did.
        labels: Hashes of files of other labels, by split.
        options: The benchmark's other options that decide what is asked.
        engine: The version of what serves methods and generates.
        versions: Of the libraries beneath it.
        withheld: Answers the method did not give; they are in no other count, and not wrong.
        selective: How errors fall as less is answered; None where answers have no confidence.
        metrics: A metric's name to its value, in the benchmark's order.
        differences: A metric's name to the run minus its baseline.
        same_length: The same with descriptions cut to equal length; empty without descriptions.
        over_controls: A control's name to the run minus that control, by judged metric; empty where
            no control was run in its setting.
        cost: Sums over answers: forward passes, tokens, seconds; peak memory in bytes.
        notes: Remarks of the scorer for the reader of the scores.
        crosscheck: What other systems say of its descriptions; None where none were asked.
        record: Of answers that others published: what is known of them. They have no cost.
    """

    key: str
    setting: str
    baseline: str | None
    run: str
    asker: str
    model: str
    revision: str | None
    weights: str
    dtype: str
    device: str
    quantization: str | None
    attn_implementation: str
    trust_remote_code: bool
    image_processing: str
    method: str
    method_args: dict[str, Any]
    benchmark: str
    version: int
    dataset: str
    dataset_revision: str
    split: str
    limit: int | None
    protocol: str
    judge: str | None
    labels: dict[str, str]
    prompt: str
    options: dict[str, Any]
    decoding: dict[str, Any]
    engine: int
    versions: dict[str, str]
    n: Count
    n_images: Count
    failed: Count
    unparseable: Count
    withheld: Count = 0
    selective: Selective | None = None
    metrics: dict[str, Value]
    differences: dict[str, Gap]
    same_length: dict[str, Gap]
    over_controls: dict[str, dict[str, Gap]] = {}
    right_wrong: RightWrong | None
    cost: dict[str, Annotated[float, Field(ge=0)]]
    notes: list[str]
    crosscheck: CheckedByOthers | None = None
    record: Record | None = None

    @field_validator("decoding")
    @classmethod
    def _is_decoding(cls, decoding: dict[str, Any]) -> dict[str, Any]:
        """Check a decoding's names and types."""
        return DecodingConfig.model_validate(decoding, strict=True).model_dump()

    @field_validator("cost")
    @classmethod
    def _has_every_cost(cls, cost: dict[str, float]) -> dict[str, float]:
        """Check that nothing is missing, and that there is a share a sample."""
        if missing := [name for name in COSTS if name not in cost]:
            raise ValueError(f"has no {missing[0]!r}")
        if not cost["samples"]:
            raise ValueError("'samples' is 0")
        return cost

    @model_validator(mode="after")
    def _differs_in_its_metrics(self) -> Row:
        """Check that differences are of metrics that the row has."""
        over = [name for gaps in self.over_controls.values() for name in gaps]
        for name in (*self.differences, *self.same_length, *over):
            if name not in self.metrics:
                raise ValueError(f"a difference of {name!r}, which is not among the metrics")
        return self


class Statistics(_Part):
    """How the numbers of a board came about; boards that differ in it cannot be merged."""

    interval: Literal["95%, percentile bootstrap by image, 10000 draws, seed 0"] = (
        "95%, percentile bootstrap by image, 10000 draws, seed 0"
    )
    selective: Literal["95%, percentile bootstrap by image, 2000 draws, seed 0"] = (
        "95%, percentile bootstrap by image, 2000 draws, seed 0"
    )
    p: Literal["two-sided swap test by image, 10000 to 1000000 draws, seed 0"] = (
        "two-sided swap test by image, 10000 to 1000000 draws, seed 0"
    )
    corrected: Literal["headline metrics with a direction, over the board"] = (
        "headline metrics with a direction, over the board"
    )
    tie_group: Literal["studentized range of differences to the baseline, 0.05"] = (
        "studentized range of differences to the baseline, 0.05"
    )


class Board(_Part):
    """What `halluc leaderboard` writes."""

    schema_version: Literal[6] = 6
    statistics: Statistics = Statistics()
    rows: list[Row]


def judged_metrics(row: Row) -> list[str]:
    """List the headline metrics that have a better and a worse direction."""
    return [
        name
        for name, value in row.metrics.items()
        if value.headline and value.higher_is_better is not None
    ]


def settings(board: Board) -> list[list[Row]]:
    """Group the rows that belong in one table."""
    groups: dict[str, list[Row]] = {}
    for row in board.rows:
        groups.setdefault(row.setting, []).append(row)
    return list(groups.values())


def of_models(board: Board, names: Collection[str]) -> Board:
    """Return the rows of these models, of all without a name; corrections stay the whole board's.

    Raises:
        UserError: If there is no such row.
    """
    known = dict.fromkeys(row.model for row in board.rows)
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"--model {unknown[0]!r}: not on this board, which has {', '.join(known)}")
    rows = [row for row in board.rows if not names or row.model in names]
    return board.model_copy(update={"rows": rows})


def kind_of_decoding(row: Row) -> Literal["greedy", "sampling", "beams", "not stated"]:
    """Return how a row was decoded; of some published answers it is not stated."""
    if row.record is not None and row.record.decoding is None:
        return "not stated"
    if row.decoding["num_beams"] > 1:
        return "beams"
    return "sampling" if row.decoding["do_sample"] else "greedy"


def of_decoding(board: Board, kind: str | None) -> Board:
    """Return the rows of one kind of decoding, of all for None; corrections stay the board's.

    Raises:
        UserError: If there is no such row.
    """
    known = dict.fromkeys(kind_of_decoding(row) for row in board.rows)
    if kind is not None and kind not in known:
        raise UserError(f"--decoding {kind!r}: not on this board, which has {', '.join(known)}")
    rows = [row for row in board.rows if kind in (None, kind_of_decoding(row))]
    return board.model_copy(update={"rows": rows})
