"""Ask what is not known yet, and keep every answer before the next batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from rich.console import Console

from halluc.calibration import Calibration
from halluc.config import RunConfig
from halluc.decoding import answer_batches, in_lockstep, in_turns
from halluc.errors import UserError
from halluc.evaluation.preparing import Model, Run
from halluc.images import as_rgb, image_hash
from halluc.interruption import Interrupted, Stop
from halluc.interventions.shared_prefix import Memo
from halluc.interventions.touch import Touch
from halluc.memory import MemoryMeter
from halluc.progress import Pace, track
from halluc.provenance import where
from halluc.remote.model import EndpointModel
from halluc.scoring.base import Benchmark
from halluc.store.scores_file import AskedSample, SampleSet
from halluc.types import Answer, Sample

Known = dict[str, Answer]
"""By sample id, answers that are kept to a sample as it is asked now."""


class Answering(Protocol):
    """What answers a benchmark."""

    def __call__(
        self,
        benchmark: str,
        runs: Mapping[str, Run],
        missing: Mapping[str, list[Sample]],
        known: Mapping[str, Known],
        touches: Mapping[str, Touch],
        /,
    ) -> Iterator[tuple[str, list[Answer]]]:
        """Answer what runs lack; yield a run's name and a batch of its answers.

        Args:
            benchmark: The benchmark's name.
            runs, missing, known, touches: By run: it, its missing samples, what is known, and what
                notes whether its method edits anything.
        """


class Elsewhere(Answering, Protocol):
    """What holds the model, prepares runs and answers in place of this process."""

    @property
    def fingerprint(self) -> str:
        """Hash of the model's weights."""

    def prepare(self, config: RunConfig, calibration: Calibration | None, output_dir: Path) -> Run:
        """Make a run's method for the model, and find the folder of its answers."""


@dataclass(frozen=True)
class Asked:
    """What runs answered to a benchmark.

    Attributes:
        answers: By run, an answer to each sample, in their order.
        untouched: By run, whether the method edited nothing; None where it was not observed.
    """

    answers: dict[str, list[Answer]]
    untouched: dict[str, bool | None] = field(default_factory=dict)


def ask(
    runs: Mapping[str, Run],
    benchmark: Benchmark,
    asked: SampleSet,
    samples: Sequence[Sample],
    everything: Sequence[Sample],
    answering: Answering,
    console: Console,
    shard: str = "",
    stop: Stop | None = None,
    pace: Pace | None = None,
) -> Asked:
    """Answer and keep what runs lack of a benchmark; what is known is not asked again.

    Args:
        runs: By the name of their folder.
        asked: Describes the samples of all shards.
        samples: Those to answer.
        everything: The samples of all shards.
        shard: Which part of them is to be answered: "3of8"; "" for all.
        stop: Ends asking after a batch.
        pace: How far the whole command is, of which this benchmark is a part.

    Raises:
        UserError: If answers cannot be kept.
        Interrupted: If told to stop.
    """

    def report(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    name, hashes = benchmark.name, dict[str, str | None]()
    described = [AskedSample.of(sample) for sample in everything]
    known = {key: known_answers(run, name, samples, hashes) for key, run in runs.items()}
    lacking = {key: run for key, run in runs.items() if len(known[key]) < len(samples)}
    touches = {key: Touch() for key in lacking}
    with ExitStack() as files:
        keep = {}
        for key, run in sorted(lacking.items(), key=lambda item: item[1].folder.path):
            run.folder.create(where())
            files.callback(run.folder.remove_if_empty)
            keep[key] = files.enter_context(run.folder.keeping(name, report, shard))
            # Another process may have answered while this one waited for it.
            known[key] = known_answers(run, name, samples, hashes)
            run.folder.write_samples(asked, described)
        missing = {
            key: [sample for sample in samples if sample.id not in known[key]] for key in lacking
        }
        left = sum(map(len, missing.values()))
        if pace is not None:
            pace.skip(
                sum(sample.max_new_tokens for sample in samples) * len(runs)
                - sum(sample.max_new_tokens for more in missing.values() for sample in more)
            )
        answered = answering(name, lacking, missing, known, touches) if left else iter(())

        def kept() -> Iterator[Answer]:
            for key, batch in answered:
                keep[key](batch)
                known[key] |= {answer.id: answer for answer in batch}
                if pace is not None:
                    pace.advance(sum(answer.max_new_tokens for answer in batch))
                yield from batch
                if stop is not None and stop.signum is not None:
                    raise Interrupted(stop.signum)

        names = " and ".join(dict.fromkeys(run.method.name for run in lacking.values()))
        title = f"{names} {name}" + f", {len(lacking)} runs" * (len(lacking) > 1)
        if left:
            with stop or nullcontext():
                for _ in track(kept(), left, title, console, pace):
                    pass
    for key, run in runs.items():
        if key not in lacking:
            run.folder.write_samples(asked, described)
    return Asked(
        {key: [_now_asked(known[key][s.id], s) for s in samples] for key in runs},
        {key: _untouched(touches.get(key), run) for key, run in runs.items()},
    )


def known_answers(
    run: Run, name: str, samples: Sequence[Sample], hashes: dict[str, str | None]
) -> Known:
    """Find the answers that are kept to samples as they are asked now.

    An answer is to a sample if id, prompt, earlier turns, token limit and the image's pixels are
    the same; what a scorer compares with may differ.

    Args:
        name: The benchmark's.
        hashes: Hashes of images by id, filled where they are needed.
    """
    kept: dict[tuple[object, ...], list[Answer]] = {}
    for answer in run.folder.answers(name):
        if answer.status != "failed":
            to = (answer.id, answer.prompt, answer.history, answer.max_new_tokens)
            kept.setdefault(to, []).append(answer)
    known: Known = {}
    for sample in samples if kept else ():
        history = sample.history
        if sample.follows is not None:
            if (before := known.get(sample.follows)) is None:
                continue
            history = (*before.history, (before.prompt, before.text))
        for answer in kept.get((sample.id, sample.prompt, history, sample.max_new_tokens), ()):
            if answer.image_hash == _hash_of(sample, hashes):
                known[sample.id] = answer
    return known


def kept_by_all(
    runs: Mapping[str, Run], name: str, samples: Sequence[Sample]
) -> dict[str, list[Answer]] | None:
    """Return by run an answer to each sample, if all are kept; None while some are missing.

    Answers that failed count too: whoever asked for them will not ask again.

    Args:
        name: The benchmark's.
    """
    found: dict[str, list[Answer]] = {}
    hashes: dict[str, str | None] = {}
    for key, run in runs.items():
        kept = {(a.id, a.prompt, a.max_new_tokens): a for a in run.folder.answers(name)}
        places = [(s.id, s.prompt, s.max_new_tokens) for s in samples]
        if any(place not in kept for place in places):
            return None
        known = known_answers(run, name, samples, hashes)
        failed = {p[0]: kept[p] for p in places if kept[p].status == "failed"}
        if any(sample.id not in known and sample.id not in failed for sample in samples):
            return None
        both = failed | known
        found[key] = [_now_asked(both[sample.id], sample) for sample in samples]
    return found


def _hash_of(sample: Sample, hashes: dict[str, str | None]) -> str | None:
    if sample.image_id not in hashes:
        try:
            hashes[sample.image_id] = image_hash(as_rgb(sample.load_image()))
        except UserError:
            raise
        except Exception:  # asking will say what is wrong with it
            hashes[sample.image_id] = None
    return hashes[sample.image_id]


def _now_asked(answer: Answer, sample: Sample) -> Answer:
    """Return an answer with what its sample is compared with now."""
    return replace(answer, target=sample.target, group=sample.group, image_id=sample.image_id)


def _untouched(touch: Touch | None, run: Run) -> bool | None:
    return None if touch is None else touch.nothing and bool(run.method.declared())


def answering_here(
    model: Model, batch_size: int | None, share: bool, workers: int | None
) -> Answering:
    """Answer in this process: all runs answer a batch before any goes on to the next.

    Args:
        batch_size, share, workers: As for `answer_batches`.
    """

    def answering(
        benchmark: str,
        runs: Mapping[str, Run],
        missing: Mapping[str, list[Sample]],
        known: Mapping[str, Known],
        touches: Mapping[str, Touch],
    ) -> Iterator[tuple[str, list[Answer]]]:
        # Runs that are done already count: those left go on as they would have with them.
        together = len(known) > 1 and not isinstance(model, EndpointModel)
        memo = Memo() if together else None
        streams = {}
        for key, run in runs.items():
            asked = partial(
                answer_batches,
                model,
                run.method,
                decoding=run.config.decoding.model_copy(update={"max_new_tokens": None}),
                batch_size=batch_size,
                share=share,
                memo=memo,
                workers=workers,
                touch=touches[key],
                known=known[key].values(),
            )
            streams[key] = _measured(in_turns(missing[key], known[key], asked), alone=not together)
        left = {key: len(samples) for key, samples in missing.items()}
        return in_lockstep(streams, left)

    return answering


def _measured(batches: Iterator[list[Answer]], alone: bool) -> Iterator[list[Answer]]:
    """Note the highest memory in answers.

    On a CPU, runs that take turns are measured in their first, second, fourth, eighth batch and so
    on: starting a measurement gives freed memory back, which then has to be made anew.
    """
    number, peak, meter = 0, 0, MemoryMeter()
    while True:
        number += 1
        measured = alone or number & (number - 1) == 0
        if measured and not alone:
            meter = MemoryMeter()
        try:
            batch = next(batches)
        except StopIteration:
            return
        peak = max(peak, meter.peak()) if measured else peak
        yield [replace(answer, peak_memory=peak) for answer in batch]
