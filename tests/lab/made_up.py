"""Answers made up by a rule, in place of a model's, and a method that makes a model say yes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, full_like

from halluc.config import BASELINE
from halluc.interventions import At, Method
from halluc.lab.asking import Arm
from halluc.lab.base import Experiment, Finding, Setting
from halluc.models import VisionLanguageModel
from halluc.types import Answer, Sample
from halluc.world.catalog import NAMES
from halluc.world.language import exists
from halluc.world.scenes import Scene, scene

Rule = Callable[[Sample], str]

_CATEGORY = {exists(name): name for name in NAMES}


def category(sample: Sample) -> str | None:
    """Return what a yes/no question asks for; None if it asks for a description."""
    return _CATEGORY.get(sample.prompt)


def scene_of(sample: Sample) -> Scene:
    """Return the scene, unchanged, that a sample of the laboratory is about."""
    _, split, rest = sample.image_id.split("_", 2)
    return _scene(split, int(rest.split(".")[0]) - 1)


@cache
def _scene(split: str, index: int) -> Scene:
    return scene(split, index)


def truthful(sample: Sample) -> str:
    """Say what is there, and nothing else."""
    if category(sample) is None:
        return " ".join(f"There is a {name}." for name in sample.target)
    return str(sample.target).capitalize()


def affirming(sample: Sample) -> str:
    """Say yes to every question, and name all categories."""
    if category(sample) is None:
        return " ".join(f"There is a {name}." for name in NAMES)
    return "Yes"


def run(
    experiment: Experiment,
    rules: Mapping[str, Rule],
    monkeypatch: pytest.MonkeyPatch,
    scenes: int = 30,
    model: Any = None,
    methods: Sequence[str] | None = None,
) -> Finding:
    """Run an experiment on answers made up by a rule.

    Args:
        rules: By method, the baseline's among them, or by arm.
        model: What the experiment needs of one.
        methods: Those compared with the baseline; all that have rules by default.
    """

    def answers(
        setting: Setting, about: str, samples: Sequence[Sample], arms: Sequence[Arm] | None = None
    ) -> dict[str, list[Answer]]:
        labels = [arm.label for arm in arms] if arms else [BASELINE, *setting.methods]
        return {
            label: [Answer.of(sample, text=rules[label](sample)) for sample in samples]
            for label in labels
        }

    module = __import__(type(experiment).__module__, fromlist=["answers"])
    monkeypatch.setattr(module, "answers", answers)
    if methods is None:
        methods = [name for name in rules if name != BASELINE]
    return experiment.run(Setting(model, tuple(methods), scenes, output_dir=Path("unused")))


class Affirming(Method):
    """Says yes to everything, and nothing else."""

    name = "affirming"

    def load(self, model: VisionLanguageModel) -> None:
        assert model.yes_no_tokens is not None
        self._yes, self._end = model.yes_no_tokens[0][0], model.processor.tokenizer.eos_token_id

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        sure = full_like(logits["main"], -100.0)
        sure[:, self._end if at.step else self._yes] = 100.0
        return sure
