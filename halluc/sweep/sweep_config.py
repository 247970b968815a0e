"""What a sweep is asked to do, checked, and the runs it comes to."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from math import prod
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from halluc.config import DecodingConfig, MethodConfig, ModelConfig, RunConfig, content_hash
from halluc.errors import UserError
from halluc.interventions.compose import find
from halluc.scoring.base import REGISTRY, Metric
from halluc.scoring.building import benchmark_names, build, by_benchmark
from halluc.sweep.axes import MOST, Axis, parse, parse_all
from halluc.validation import checked, key_values

_BOUND = re.compile(r"\s*(\S+?)\s*(>=|<=|>|<)\s*(\S+)\s*")


class Goal(NamedTuple):
    """A metric of a benchmark."""

    benchmark: str
    metric: Metric

    def __str__(self) -> str:
        return f"{self.benchmark}.{self.metric.name}"


class Bound(NamedTuple):
    """A metric that must not fall short of a value, or exceed it."""

    goal: Goal
    sign: str
    value: float

    def excess(self, value: float) -> float:
        """How far a value is on the wrong side; 0 or less where it is not, inf where undefined."""
        over = self.value - value if self.sign[0] == ">" else value - self.value
        if over == 0 and len(self.sign) == 1:
            return 1e-12  # strictly
        return over if over == over else float("inf")


class SweepConfig(BaseModel):
    """Everything that decides what a sweep finds; a YAML file has the same fields.

    Values are what the command line takes, or lists and mappings of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = "glyph"
    model_args: dict[str, Any] = Field({}, description="how it is loaded: dtype, device, ...")
    method: str
    method_args: dict[str, Any] = Field({}, description="parameters held fixed")
    sweep: dict[str, Any] = Field(description="a parameter to its values")
    benchmarks: tuple[str, ...] = ("glyph_chair",)
    benchmark_args: dict[str, Any] = {}
    limit: int | None = Field(None, ge=1, description="images of each benchmark")
    gen_kwargs: dict[str, Any] = {}
    batch_size: int | None = None
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="of answers drawn at random")
    search: Literal["grid", "tpe"] = "grid"
    trials: int = Field(30, ge=1, description="of a search")
    objective: str | None = Field(None, description="benchmark.metric; None: the first headline")
    constraint: tuple[str, ...] = Field((), description="benchmark.metric>=value, all must hold")
    tune_share: float = Field(0.5, ge=0, lt=1, description="of the images; 0 tunes on all")

    @field_validator("sweep", mode="before")
    @classmethod
    def _sweep(cls, given: Any) -> Any:
        return parse_all([*map(str, given)]) if isinstance(given, list | tuple) else given

    @field_validator("benchmarks", mode="before")
    @classmethod
    def _benchmarks(cls, given: Any) -> Any:
        text = ",".join(map(str, given)) if isinstance(given, list | tuple) else str(given)
        return benchmark_names(text)

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds(cls, given: Any) -> Any:
        return str(given).split(",") if isinstance(given, str | int) else given

    @field_validator("constraint", mode="before")
    @classmethod
    def _constraint(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    @field_validator("model_args", "method_args", "benchmark_args", "gen_kwargs", mode="before")
    @classmethod
    def _typed(cls, given: Any, info: Any) -> Any:
        flag = f"--{info.field_name.replace('_', '-')}"
        return key_values(given, flag) if isinstance(given, str) else given

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
        """What varies."""
        return tuple(parse(name, given) for name, given in self.sweep.items())

    @property
    def goal(self) -> Goal:
        """What is best."""
        if self.objective is None:
            name = self.benchmarks[0]
            metrics = REGISTRY.get(name).card.metrics
            return Goal(name, next(m for m in metrics if m.headline))
        goal = self._goal(self.objective, "--objective")
        if goal.metric.higher_is_better is None:
            raise UserError(f"--objective {self.objective}: neither direction of it is better")
        return goal

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """What must hold of the best."""
        return tuple(map(self._bound, self.constraint))

    @property
    def hash(self) -> str:
        """Names the sweep; a search that goes on for more trials is the same."""
        return content_hash(self.model_dump(mode="json", exclude={"trials"}))

    def points(self) -> Iterator[dict[str, Any]]:
        """The grid: a parameter to its value, the last axis varying first."""
        for values in itertools.product(*(axis.values for axis in self.axes)):
            yield dict(zip((axis.name for axis in self.axes), values, strict=True))

    def run(
        self, half: str, point: Mapping[str, Any] | None = None, seed: int | None = None
    ) -> RunConfig:
        """The run of a point, or of the baseline.

        Args:
            half: "tune" or "test".
        """
        options = by_benchmark(self.benchmarks, self.benchmark_args)
        if self.tune_share:
            for name in self.benchmarks:
                halves = REGISTRY.get(name).halves(self.tune_share)
                options[name] = options.get(name, {}) | halves[half == "test"]
        given = self.gen_kwargs | {"seed": self.seeds[0] if seed is None else seed}
        method = MethodConfig()
        if point is not None:
            method = MethodConfig(name=self.method, params=self.method_args | dict(point))
        values = {
            "model": checked(ModelConfig, self.model_args | {"name": self.model}, "model"),
            "method": method,
            "benchmarks": self.benchmarks,
            "benchmark_args": {name: own for name, own in options.items() if own},
            "limit": self.limit,
            "decoding": checked(DecodingConfig, given, "--gen-kwargs"),
            "batch_size": self.batch_size,
        }
        return checked(RunConfig, values, "sweep")

    def _goal(self, text: str, flag: str) -> Goal:
        name, _, metric = text.strip().partition(".")
        if name not in self.benchmarks:
            run = ", ".join(self.benchmarks)
            raise UserError(f"{flag} {text}: {name!r} is not run; as in {run}.METRIC")
        known = {m.name: m for m in REGISTRY.get(name).card.metrics}
        if metric not in known:
            close = get_close_matches(metric, known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"it reports {', '.join(known)}"
            raise UserError(f"{flag} {text}: {name} reports no {metric!r}; {hint}")
        return Goal(name, known[metric])

    def _bound(self, text: str) -> Bound:
        try:
            goal, sign, value = _BOUND.fullmatch(text).groups()  # type: ignore[union-attr]
            return Bound(self._goal(goal, "--constraint"), sign, float(value))
        except (AttributeError, ValueError):
            raise UserError(
                f"--constraint {text!r}: as in 'glyph_chair.recall>=0.7', shares from 0 to 1"
            ) from None


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
    """YAML, but a key that is given twice is an error instead of the last winning."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for i, key in enumerate(keys) if key in keys[:i]), None)
        if twice is not None:
            raise UserError(f"{node.start_mark.name}: {twice!r} is given twice")
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def load(file: Path | None, given: Mapping[str, Any]) -> SweepConfig:
    """What a file says and the command line, which wins.

    Raises:
        UserError: If either is wrong.
    """
    content: Any = {}
    if file is not None:
        try:
            with file.open() as stream:
                content = yaml.load(stream, _Loader) or {}
        except OSError as error:
            raise UserError(f"{file}: no such file") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark else ""
            reason = getattr(error, "problem", None) or "no text"
            raise UserError(f"{file}{line}: broken YAML, {reason}") from error
        if not isinstance(content, dict):
            raise UserError(f"{file}: a sweep is a mapping, as in 'method: var'")
    values = content | dict(given)
    for needed in ("method", "sweep"):
        if needed not in values:
            raise UserError(f"no --{needed}; as in --method var --sweep keep=0.2,0.4")
    return checked(SweepConfig, values, str(file or "sweep"))
