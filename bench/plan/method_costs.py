"""Measure what methods cost on the embedded model: alone, and in one command with others."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

from bench.plan.gpu_time import Ratio
from halluc.config import DecodingConfig
from halluc.decoding import answer_batches, in_lockstep
from halluc.interventions import REGISTRY, Method
from halluc.interventions.shared_prefix import Memo
from halluc.models import VisionLanguageModel
from halluc.scoring.building import build
from halluc.types import Answer, Sample

GREEDY = DecodingConfig()
HOW = {"plain": False, "alone": True}
TASKS = {"yes_no": "glyph_pope", "caption": "glyph_chair"}


@dataclass(frozen=True)
class Cost:
    """What a method spends on a sample.

    Attributes:
        passes, prompt, tokens: Means over answers: passes of the language model in which it took
            part, tokens read and tokens generated.
        plain, alone, together: CPU seconds against the baseline's, just before: with nothing
            shared; sharing between questions; and in one command, against the baseline alone. The
            medians of paired ratios.
    """

    passes: float
    prompt: float
    tokens: float
    plain: float
    alone: float
    together: float


def measure(
    model: VisionLanguageModel, images: Mapping[str, int], names: Sequence[str], rounds: int
) -> dict[str, dict[str, Cost]]:
    """Measure methods, by task and name; the baseline comes first.

    Args:
        images: How many a task asks about.
    """
    methods = {name: REGISTRY.get(name).for_model(model) for name in ("baseline", *names)}
    return {
        task: _task(model, methods, list(build(TASKS[task]).asked(count)), rounds)
        for task, count in images.items()
    }


def _task(
    model: VisionLanguageModel,
    methods: Mapping[str, Method],
    samples: list[Sample],
    rounds: int,
) -> dict[str, Cost]:
    times = {name: {how: list[float]() for how in (*HOW, "together")} for name in methods}
    answers: dict[str, list[Answer]] = {}
    baseline = {"baseline": methods["baseline"]}
    _spent(model, methods, samples[:1], share=True)  # warms up
    for _ in range(rounds):
        alone = []
        for name, method in methods.items():
            for how, share in HOW.items():
                before, _ = _alone(model, baseline, samples, share)
                after, answers[name] = _alone(model, {name: method}, samples, share)
                times[name][how].append(after / before)
                alone.append(before)
        together = _spent(model, methods, samples, share=True)
        for name in methods:
            times[name]["together"].append(together[name][0] / median(alone[1::2]))
    return {
        name: Cost(
            mean(a.forward_passes for a in answers[name]),
            mean(a.prompt_tokens for a in answers[name]),
            mean(a.tokens for a in answers[name]),
            **{how: median(taken) for how, taken in times[name].items()},
        )
        for name in methods
    }


def _alone(
    model: VisionLanguageModel,
    method: Mapping[str, Method],
    samples: list[Sample],
    share: bool = True,
) -> tuple[float, list[Answer]]:
    ((spent, answers),) = _spent(model, method, samples, share).values()
    return spent, answers


def _spent(
    model: VisionLanguageModel, methods: Mapping[str, Method], samples: list[Sample], share: bool
) -> dict[str, tuple[float, list[Answer]]]:
    """Answer in turns, as one command does; return each method's CPU seconds and answers."""
    memo = Memo() if len(methods) > 1 else None
    streams = {
        name: answer_batches(model, method, samples, GREEDY, share=share, memo=memo)
        for name, method in methods.items()
    }
    spent, answers = dict.fromkeys(methods, 0.0), {name: list[Answer]() for name in methods}
    before = time.process_time()
    for name, batch in in_lockstep(streams, dict.fromkeys(streams, len(samples))):
        answers[name] += batch
        now = time.process_time()
        spent[name] += now - before
        before = now
    return {name: (spent[name], answers[name]) for name in methods}


def ratios(
    model: VisionLanguageModel, costs: Mapping[str, Mapping[str, Cost]], measured: Path
) -> list[Ratio]:
    """Return what each method costs against the baseline.

    The page of `bench.speed` is taken where it has a method, as its model has LLaVA's number of
    image tokens; else answers to yes/no questions stand for prompts, captions for tokens.
    """
    table = published(measured.read_text() if measured.is_file() else "")
    found = []
    short, long = costs["yes_no"], costs["caption"]
    for name in short:
        if name == "baseline":
            continue
        depends = REGISTRY.get(name).for_model(model).prefix_depends_on
        if name in table:
            found.append(Ratio(name, depends, *table[name], source=measured.name))
            continue
        step = long[name].plain * long["baseline"].tokens / long[name].tokens
        found.append(Ratio(name, depends, short[name].plain, step, "here"))
    return found


def published(page: str) -> dict[str, tuple[float, float]]:
    """Read a page of `bench.speed`: by method the ratios of the first token and of a later one."""
    section = page.partition("## Methods against the baseline")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) \(.*?\) \| ([\d.]+) \(", section, re.M)
    return {name: (float(first), float(later)) for name, first, later in rows}
