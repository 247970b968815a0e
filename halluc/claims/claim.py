"""What a paper claims of a method: two numbers, and under which conditions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from halluc.claims.known_models import MODELS, KnownModel
from halluc.config import DecodingConfig

GREEDY = DecodingConfig()
SHORT = {"coco": "", "hallucination": "", "generative": "generative"}
"""Parts of a benchmark's name, in the names of claims."""


class Claim(BaseModel):
    """A number with a method and one without it, from one table of a paper.

    Attributes:
        id: Method, benchmark, split, model and metric; then whose table it is, if not the
            method's own, and how it was decoded where one paper has several.
        method: Halluc's name of it.
        method_args: Parameters that are stated and are not halluc's own.
        paper: The paper that has the table: arXiv number, or its name where that is not known.
        table: Where in it, or in its repository.
        source: The table, "at second hand: ..." where it was not read there, and what is
            unverified.
        model: The name in papers, a key of `MODELS`.
        benchmark, metric: Halluc's names; the split is a part of the metric's.
        decoding, baseline_decoding: Of the method and of what it is compared with, as stated; the
            seed means nothing, and a limit of tokens is the benchmark's.
        prompt: Halluc's name of the wording, or the wording itself where halluc lacks it; "" where
            it is not stated.
        protocol: The scorer, by halluc's name; "" where it is not stated.
        baseline, value: Without the method and with it, in `unit`.
        note: What a reader of the numbers has to know.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    method: str
    method_args: dict[str, Any] = {}
    paper: Annotated[str, Field(min_length=2)]
    table: str
    source: str
    model: str
    benchmark: str
    metric: str
    decoding: DecodingConfig = GREEDY
    baseline_decoding: DecodingConfig = GREEDY
    prompt: str = ""
    protocol: str = ""
    baseline: Annotated[float, Field(ge=0)]
    value: Annotated[float, Field(ge=0)]
    note: str = ""

    @property
    def split(self) -> str:
        """The part of the benchmark that the metric is of; "all" for the whole."""
        return self.metric.rpartition("/")[0] or "all"

    @property
    def unit(self) -> Literal["%", "points"]:
        """What the numbers are in; MME's are points."""
        return "points" if self.benchmark.startswith("mme") else "%"

    @property
    def most(self) -> float:
        """The largest value there can be: 100 percent, or 200 points a subtask of MME."""
        return 100 if self.unit == "%" else 800 if self.metric == "total" else 200

    @property
    def difference(self) -> float:
        """The method's number minus the baseline's: what is claimed."""
        return round(self.value - self.baseline, 6)

    @property
    def known_model(self) -> KnownModel:
        """The checkpoint that is meant."""
        return MODELS[self.model]

    @model_validator(mode="after")
    def _claims_something(self) -> Claim:
        """Refuse unknown models, numbers out of range, and two numbers that are the same."""
        if self.model not in MODELS:
            raise ValueError(f"{self.id}: unknown model {self.model!r}; {', '.join(MODELS)}")
        if max(self.baseline, self.value) > self.most:
            raise ValueError(f"{self.id}: above {self.most:g} {self.unit}")
        if not self.difference:
            raise ValueError(f"{self.id}: both numbers are {self.value:g}; nothing is claimed")
        return self


def claim_id(method: str, benchmark: str, metric: str, model: str, whose: str = "") -> str:
    """Name a claim: "vcd-pope-random-llava15-7b-accuracy-in-agla".

    Args:
        model: The name in papers.
        whose: What follows, if anything: whose table it is.
    """
    split, _, rate = metric.rpartition("/")
    parts = [method, *(SHORT.get(part, part) for part in benchmark.split("_"))]
    parts += [split, MODELS[model].short if model in MODELS else model, rate, whose]
    return "-".join(part for part in parts if part).lower().replace("_", "-").replace(".", "")
