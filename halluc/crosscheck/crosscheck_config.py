"""What a user asks of `halluc crosscheck`, checked before anything heavy is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from halluc.benchmarks._chair import ChairBenchmark
from halluc.config import DecodingConfig, MethodConfig, ModelConfig, RunConfig
from halluc.crosscheck.systems import System, parse_systems
from halluc.errors import UserError
from halluc.scoring.building import build, one_benchmark
from halluc.scoring.crosscheck.implicit_questions import OBJECTS, PAPER, SENTENCE
from halluc.scoring.crosscheck.verdict_scores import Variant
from halluc.validation import checked

if TYPE_CHECKING:
    from halluc.scoring.base import Benchmark


class CrossCheckConfig(BaseModel):
    """Everything that decides what a cross-check finds; systems are typed as their names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    targets: tuple[System, ...]
    evidence: tuple[System, ...]
    benchmark: str = "glyph_chair"
    benchmark_args: dict[str, Any] = {}
    limit: int | None = Field(None, ge=1)
    samples_per_model: int = Field(5, ge=1)
    temperature: float = Field(1.0, gt=0)
    judge: str = OBJECTS
    question: str | None = None
    variant: Variant = "paper"
    model_args: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _folder(cls, values: Any) -> Any:
        """Take the folder out of the benchmark's name."""
        if not isinstance(values, dict) or not isinstance(values.get("benchmark"), str):
            return values
        name, options = one_benchmark(values["benchmark"], values.get("benchmark_args", {}))
        return values | {"benchmark": name, "benchmark_args": options}

    @field_validator("targets", "evidence", mode="before")
    @classmethod
    def _systems(cls, value: Any) -> Any:
        return parse_systems(value) if isinstance(value, str) else value

    @field_validator("question")
    @classmethod
    def _holds_the_sentence(cls, question: str | None) -> str | None:
        if question is not None and question != OBJECTS and SENTENCE not in question:
            raise ValueError(f"write {OBJECTS!r}, or a question with {SENTENCE} in it")
        return question

    @model_validator(mode="after")
    def _describes(self) -> CrossCheckConfig:
        """Check that the benchmark asks for descriptions, and has a word list where one is used."""
        benchmark = self.build()
        if benchmark.card.task != "caption":
            raise UserError(
                f"{self.benchmark}: does not ask for descriptions, which are checked sentence by "
                "sentence; give a benchmark like glyph_chair"
            )
        if not isinstance(benchmark, ChairBenchmark) and OBJECTS in (self.judge, self.wording):
            raise UserError(
                f"{self.benchmark}: has no word list of objects; give --judge endpoint:MODEL or "
                f"local:MODEL, and --question with {SENTENCE}"
            )
        return self

    @property
    def wording(self) -> str:
        """The implicit question: about each object on drawn scenes, else the paper's."""
        if self.question is not None:
            return self.question
        return OBJECTS if self.build().card.dataset == "halluc.world" else PAPER

    def build(self) -> Benchmark:
        """Make the benchmark."""
        return build(self.benchmark, self.benchmark_args)

    def run(self, system: System, seed: int | None = None) -> RunConfig:
        """Return a system's run: its description, or the passage of a seed."""
        decoding = DecodingConfig()
        if seed is not None:
            decoding = DecodingConfig(do_sample=True, temperature=self.temperature, seed=seed)
        return RunConfig(
            model=checked(ModelConfig, {"name": system.model} | self.model_args, "--model-args"),
            method=MethodConfig(name=system.method),
            benchmarks=(self.benchmark,),
            benchmark_args={self.benchmark: self.benchmark_args} if self.benchmark_args else {},
            limit=self.limit,
            decoding=decoding,
        )
