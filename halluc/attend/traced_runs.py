"""Traces next to a run's answers: what `halluc eval --trace` writes and the report shows.

Answers are read from run folders, where they are kept by then, and fed to the model as text, so
tracing changes none of them. A sample's file holds what the baseline looked at as well, and can be
read alone; one that is there is not made again unless an answer in it has changed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from halluc.config import BASELINE, content_hash
from halluc.errors import UserError
from halluc.images import BadImage, as_rgb
from halluc.provenance import ENGINE
from halluc.store.matching_answers import match_answers

if TYPE_CHECKING:
    from rich.console import Console

    from halluc.evaluation import Evaluation, Questions
    from halluc.interventions import Batch, Method
    from halluc.models import VisionLanguageModel
    from halluc.store import RunFolder
    from halluc.types import Answer, Sample

Answers = Mapping[str, "Answer"]


class Wanted(NamedTuple):
    """A trace of a run's answer to a sample.

    Attributes:
        folder, method: Of the run; no method for the baseline.
        plain: The baseline's answer, or the run's own where there is no baseline.
        answer: The run's answer.
    """

    folder: RunFolder
    method: Method | None
    plain: Answer
    answer: Answer

    @property
    def of(self) -> str:
        """What the trace is made of."""
        return content_hash([ENGINE, self.folder.asker.key, said(self.plain), said(self.answer)])

    def file(self, benchmark: str) -> Path:
        """Where it is kept."""
        return self.folder.trace_file(benchmark, self.answer.key)


def trace_evaluations(
    model: VisionLanguageModel,
    questions: Sequence[Questions],
    runs: Sequence[Evaluation],
    most: int,
) -> None:
    """Trace answers of finished runs to some questions, and say so on standard error."""
    from rich.console import Console

    console = Console(stderr=True)
    samples = {one.benchmark.name: one.samples for one in questions}
    written = trace_runs(model, runs, samples, most, console)
    console.print(f"{written} answers traced; 'halluc report' shows them", highlight=False)


def trace_runs(
    model: VisionLanguageModel,
    runs: Sequence[Evaluation],
    samples: Mapping[str, Iterable[Sample]],
    most: int,
    console: Console,
) -> int:
    """Trace answers of runs that are finished; return how many files were written.

    Args:
        model: Who answered.
        runs: The baseline and methods under the same decodings.
        samples: By benchmark, with their images.
        most: How many samples of each benchmark, for each run; see `chosen`.
        console: Is told what cannot be traced.
    """
    written = 0
    for benchmark, asked in samples.items():
        wanted = {id: missing for id, missing in _missing(runs, benchmark, most) if missing}
        known = {sample.id: sample for sample in asked if sample.id in wanted}
        refused: list[str] = []
        for id, some in wanted.items():
            try:
                _trace_sample(model, known[id], some, benchmark)
                written += len(some)
            except (BadImage, UserError, OSError) as error:
                refused.append(f"{id}: {error}")
        if refused:
            console.print(
                f"{benchmark}: {len(refused)} samples are not traced, first {refused[0]}",
                highlight=False, markup=False, soft_wrap=True,
            )  # fmt: skip
    return written


def chosen(order: Sequence[str], plain: Answers, own: Answers, most: int) -> list[str]:
    """Choose samples to trace: first those that a method answers otherwise, then the others.

    Args:
        order: Ids in the order of the benchmark.
        plain, own: Answers of baseline and method that can be traced, by id.
    """
    there = [id for id in order if id in plain and id in own]
    return sorted(there, key=lambda id: said(plain[id]) == said(own[id]))[:most]


def said(answer: Answer) -> str:
    """Return what the model wrote: the first draft of an answer that was revised."""
    return answer.drafts[0] if answer.drafts else answer.text


def _missing(
    runs: Sequence[Evaluation], benchmark: str, most: int
) -> Iterator[tuple[str, list[Wanted]]]:
    """List by sample the traces that are wanted and not there."""
    groups: dict[str, list[Evaluation]] = defaultdict(list)
    for run in runs:
        if benchmark in run.scored:
            groups[run.folder.asker.setting].append(run)
    found: dict[str, list[Wanted]] = defaultdict(list)
    for group in groups.values():
        base = next((run for run in group if run.folder.asker.method.name == BASELINE), None)
        answers = {id(run): _traceable(run, benchmark) for run in group}
        order = [sample.id for sample in group[0].scored[benchmark].asked_samples]
        compared: dict[str, None] = {}
        for run in group:
            own = answers[id(run)]
            plain = own if base is None else answers[id(base)]
            if run is not base:
                for name in chosen(order, plain, own, most):
                    compared[name] = None
                    found[name].append(Wanted(run.folder, run.method, plain[name], own[name]))
        if base is not None:
            plain = answers[id(base)]
            for name in compared or chosen(order, plain, plain, most):
                found[name].append(Wanted(base.folder, None, plain[name], plain[name]))
    for name, wanted in found.items():
        yield name, [one for one in wanted if not _is_there(one, benchmark)]


def _traceable(run: Evaluation, benchmark: str) -> dict[str, Answer]:
    """Return a run's answers by id, but those that failed, are empty or are to a later turn."""
    asked = run.scored[benchmark].asked_samples
    answers = match_answers(run.folder.answers(benchmark), asked)
    return {
        id: answer
        for id, answer in answers.items()
        if answer.status != "failed" and not answer.history and said(answer).strip()
    }


def _is_there(wanted: Wanted, benchmark: str) -> bool:
    try:
        content = json.loads(wanted.file(benchmark).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("of") == wanted.of


def _trace_sample(
    model: VisionLanguageModel, sample: Sample, wanted: Sequence[Wanted], benchmark: str
) -> None:
    """Trace a sample with each method; the baseline's part is made once for equal answers."""
    from halluc.attend.trace_panel import panel_of, write_panel
    from halluc.attend.tracing import Trace, compared, look
    from halluc.decoding.whole_batch import batch_of_questions

    image = as_rgb(sample.load_image())
    asked = batch_of_questions([sample.prompt], [image], [sample.id])
    plain: dict[str, Trace] = {}
    for one in wanted:
        seed = one.folder.asker.decoding.seed
        batch: Batch = replace(asked, seed=seed)
        text = said(one.plain)
        if text not in plain:
            plain[text] = look(model, batch, text)
        found = plain[text]
        if one.method is not None:
            own = said(one.answer)
            found = compared(model, batch, found, one.method, own)
        panel = panel_of(found, model.processor.tokenizer, sample.id, one.of)
        write_panel(panel, one.file(benchmark))
