"""The contract of an experiment: a question, a setting, and a finding that says what held."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from halluc.config import ModelConfig
from halluc.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from halluc.models import VisionLanguageModel

EXPERIMENTS: Registry[Experiment] = Registry("experiment", "halluc.lab.experiments")

Row = dict[str, float | str | int | None]
"""A line of a table. What stands under "x_lo" and "x_hi" is the 95% interval of "x"."""

Verdict = Literal["held", "did not hold", "not decided", "no claim"]
"""Whether the paper's claim held here; "not decided" where the interval allows either."""


@dataclass(frozen=True)
class Setting:
    """What an experiment is run on.

    Attributes:
        model: The loaded model.
        methods: Methods to compare with the baseline, which is not among them; composites too.
        scenes: How many drawn scenes to use.
        seed: Of what is drawn at random: sampled answers, bootstrap resamples.
        output_dir: Folder of run folders, in which answers are kept.
        config: How the model was loaded; it is part of what kept answers depend on.
    """

    model: VisionLanguageModel
    methods: tuple[str, ...]
    scenes: int
    seed: int = 0
    output_dir: Path = Path("runs/lab")
    config: ModelConfig = field(default_factory=ModelConfig)


@dataclass(frozen=True)
class Finding:
    """What an experiment found.

    Attributes:
        rows: The table, all rows with the same columns.
        held: Whether the paper's claim held here.
        because: The numbers that decide it with their 95% intervals, in one or two sentences.
        draw: Draws the figure on an empty one: labelled axes, intervals, `halluc.lab.drawing`'s
            colours.
        size: Width and height of the figure in inches.
    """

    rows: tuple[Row, ...]
    held: Verdict
    because: str
    draw: Callable[[Figure], None] = field(repr=False)
    size: tuple[float, float] = (6.4, 4.2)


class Experiment(ABC):
    """A question about a model or about methods, answered on drawn scenes.

    Attributes:
        name: The name it is registered under.
        question: What is asked, in one plain sentence.
        claim: What the paper says, in one sentence; "" where none does.
        source: The paper, with the section or figure.
        methods: The methods compared where a user names none; empty where none are compared.
        scenes: The number of scenes where a user gives none.
    """

    name: ClassVar[str]
    question: ClassVar[str]
    claim: ClassVar[str] = ""
    source: ClassVar[str] = ""
    methods: ClassVar[tuple[str, ...]] = ()
    scenes: ClassVar[int] = 60

    @abstractmethod
    def run(self, setting: Setting) -> Finding:
        """Run the experiment.

        Raises:
            UserError: If a method or the model does not fit it.
        """


def experiment(name: str) -> Callable[[type[Experiment]], type[Experiment]]:
    """Register the decorated `Experiment` under `name`, as `halluc lab` takes it."""

    def decorate(cls: type[Experiment]) -> type[Experiment]:
        cls.name = name
        return EXPERIMENTS.register(name)(cls)

    return decorate
