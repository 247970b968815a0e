"""The configuration of a sweep, checked, and the runs it consists of."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from halluc.config import DecodingConfig, MethodConfig, ModelConfig, RunConfig, content_hash
from halluc.errors import UserError
from halluc.interventions.compose import find
from halluc.scoring.base import REGISTRY
from halluc.scoring.building import benchmark_names, build, by_benchmark, folders
from halluc.sweep.axes import MOST, Axis, parse_all, parse_axis
from halluc.sweep.goals import Bound, Goal, first_headline, parse_bound, parse_goal
from halluc.validation import checked, key_values


class SweepConfig(BaseModel):
    """Everything that decides what a sweep finds; a YAML file has the same fields.

    Values are what the command line takes, or lists and mappings of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field("glyph", description="Embedded model, hub id or local folder.")
    model_args: dict[str, Any] = Field(
        {}, description="How the model is loaded: dtype=bfloat16,device=cuda."
    )
    method: str = Field(description="Method whose parameters vary.")
    method_args: dict[str, Any] = Field({}, description="Parameters that are held fixed: rho=0.5.")
    sweep: dict[str, Any] = Field(
        description="Values of a parameter: keep=0.2,0.4 or rho=0.3:0.9:0.2 or layers=0-8,8-16. "
        "Repeatable."
    )
    benchmarks: tuple[str, ...] = Field(
        ("glyph_chair",), description="Benchmarks or families of them, separated by commas."
    )
    benchmark_args: dict[str, Any] = Field(
        {}, description="Options of the benchmarks: folder=DIR,pope_coco.prompt=vcd."
    )
    limit: int | None = Field(
        None, ge=1, description="Number of images of each benchmark, in each part; default: all."
    )
    gen_kwargs: dict[str, Any] = Field(
        {}, description="How tokens are chosen, in the baseline too: do_sample=true,num_beams=5."
    )
    batch_size: int | None = Field(
        None, description="Most prompts answered together; default: what fits."
    )
    seeds: tuple[int, ...] = Field(
        (0,), min_length=1, description="Seeds, where answers are drawn at random: 0,1,2."
    )
    search: Literal["grid", "tpe"] = Field(
        "grid", description="How points are chosen: grid, all of them, or tpe, by Optuna."
    )
    trials: int = Field(30, ge=1, description="Number of points that a search tries.")
    objective: str | None = Field(
        None,
        description="Metric to optimise, as BENCHMARK.METRIC; default: the first headline metric.",
    )
    constraint: tuple[str, ...] = Field(
        (), description="What the best point has to meet: glyph_chair.recall>=0.7. Repeatable."
    )
    tune_share: float = Field(
        0.5, ge=0, lt=1, description="Share of the images to tune on; 0: tune and report on all."
    )

    @model_validator(mode="before")
    @classmethod
    def _folders(cls, values: Any) -> Any:
        """Take the folders out of the benchmarks' names."""
        if not isinstance(values, dict) or "benchmarks" not in values:
            return values
        args = cls._typed_args(values.get("benchmark_args") or {}, "--benchmark-args")
        if not isinstance(args, dict):
            return values
        return values | {"benchmark_args": folders(cls._text(values["benchmarks"])) | args}

    @staticmethod
    def _text(value: Any) -> str:
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

    @staticmethod
    def _typed_args(value: Any, flag: str) -> Any:
        return key_values(value, flag) if isinstance(value, str) else value

    @field_validator("sweep", mode="before")
    @classmethod
    def _sweep(cls, value: Any) -> Any:
        return parse_all([*map(str, value)]) if isinstance(value, list | tuple) else value

    @field_validator("benchmarks", mode="before")
    @classmethod
    def _benchmarks(cls, value: Any) -> Any:
        return benchmark_names(cls._text(value))

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds(cls, value: Any) -> Any:
        return str(value).split(",") if isinstance(value, str | int) else value

    @field_validator("constraint", mode="before")
    @classmethod
    def _constraint(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("model_args", "method_args", "benchmark_args", "gen_kwargs", mode="before")
    @classmethod
    def _typed(cls, value: Any, info: Any) -> Any:
        return cls._typed_args(value, f"--{info.field_name.replace('_', '-')}")

    @model_validator(mode="after")
    def _checked(self) -> SweepConfig:
        """Check everything a run would refuse, before anything is loaded."""
        axes = self.axes
        if not axes:
            raise UserError("nothing to sweep; give --sweep name=values")
        for axis in axes:
            if axis.name in self.method_args:
                raise UserError(f"{axis.name!r} is both swept and held fixed; give it once")
            if axis.interval and self.search == "grid":
                text = f"{axis.interval[0]:g}:{axis.interval[1]:g}"
                raise UserError(
                    f"--sweep {axis.name}: {text} needs a step for a grid, as in '{text}:0.1'"
                )
            for value in axis.values:
                find(self.method).parameters(self.method_args | {axis.name: value})
        if self.search == "grid" and prod(len(axis.values) for axis in axes) > MOST:
            raise UserError(f"--sweep: over {MOST} points; take fewer values, or --search tpe")
        if "seed" in self.gen_kwargs:
            raise UserError("--gen-kwargs: a sweep takes its seeds by --seeds")
        if len(set(self.seeds)) > 1 and not self.run("tune").decoding.do_sample:
            raise UserError(
                "--seeds: answers are not drawn at random, so seeds change nothing; "
                "add --gen-kwargs do_sample=true"
            )
        for half in ("tune", "test"):
            for name, options in self.run(half).benchmark_args.items():
                build(name, options)
        _ = self.goal, self.bounds
        return self

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The parameters that vary."""
        return tuple(parse_axis(name, values) for name, values in self.sweep.items())

    @property
    def goal(self) -> Goal:
        """The metric to optimise."""
        if self.objective is None:
            return first_headline(self.benchmarks[0])
        goal = parse_goal(self.objective, "--objective", self.benchmarks)
        if goal.metric.higher_is_better is None:
            raise UserError(f"--objective {self.objective}: neither direction of it is better")
        return goal

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """What must hold of the best point."""
        return tuple(parse_bound(text, self.benchmarks) for text in self.constraint)

    @property
    def hash(self) -> str:
        """Ten hex digits that name the sweep; a search with more trials has the same."""
        return content_hash(self.model_dump(mode="json", exclude={"trials"}))

    def points(self) -> Iterator[dict[str, Any]]:
        """Yield the points of the grid, the last axis varying first."""
        for values in itertools.product(*(axis.values for axis in self.axes)):
            yield dict(zip((axis.name for axis in self.axes), values, strict=True))

    def run(
        self, half: str, point: Mapping[str, Any] | None = None, seed: int | None = None
    ) -> RunConfig:
        """Return the run of a point, or of the baseline.

        Args:
            half: "tune" or "test".
        """
        options = by_benchmark(self.benchmarks, self.benchmark_args)
        if self.tune_share:
            for name in self.benchmarks:
                halves = REGISTRY.get(name).halves(self.tune_share)
                options[name] = options.get(name, {}) | halves[half == "test"]
        decoding = self.gen_kwargs | {"seed": self.seeds[0] if seed is None else seed}
        method = MethodConfig()
        if point is not None:
            method = MethodConfig(name=self.method, params=self.method_args | dict(point))
        values = {
            "model": checked(ModelConfig, self.model_args | {"name": self.model}, "model"),
            "method": method,
            "benchmarks": self.benchmarks,
            "benchmark_args": {name: values for name, values in options.items() if values},
            "limit": self.limit,
            "decoding": checked(DecodingConfig, decoding, "--gen-kwargs"),
            "batch_size": self.batch_size,
        }
        return checked(RunConfig, values, "sweep")
