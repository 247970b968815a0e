"""The page of the trial of attention sinks: tables and sentences made of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halluc.errors import UserError
from halluc.files import write_whole
from halluc.models.massive import MASSIVE
from halluc.world.training.natural_sinks_measures import EPSILON
from halluc.world.training.natural_sinks_model import BATCH, LENGTH, LOG_STEPS, Cell

TEXT, IMAGES = "text", "images"
"""The page's parts, between markers: <!-- text --> and <!-- /text -->."""
ROWS = 9
"""Rows of the table of a run's course, at most."""
COLUMNS = (
    "heads with a sink | attention on BOS by layer | most in a head | max abs(x)/rms of BOS "
    "by layer | abs(v) of BOS over others | excess kurtosis | copied | loss"
)


@dataclass(frozen=True)
class Trained:
    """A run: its cell, the steps it is to take, and its log, which is not empty."""

    cell: Cell
    steps: int
    log: Sequence[dict[str, Any]]

    @property
    def last(self) -> dict[str, Any]:
        """What was measured last."""
        return self.log[-1]

    @property
    def left(self) -> str:
        """What is missing, in words; empty where the run has ended."""
        step = self.last["step"]
        return "" if step == self.steps else f" (interrupted at step {step:,})"


@dataclass(frozen=True)
class SinkRuns:
    """All runs.

    Attributes:
        natural: Cells that have ended, in the predicted order.
        planted: Cells with planted sinks that have ended.
        long: Long runs, of which the log may be of a part.
        seed: Of weights and texts.
        waiting: Natural cells that have not ended.
    """

    natural: Sequence[Trained]
    planted: Sequence[Trained]
    long: Sequence[Trained]
    seed: int
    waiting: int = 0


def sinkness(run: Trained) -> tuple[float, float]:
    """Return what the measured order sorts by: heads with a sink, then attention on BOS."""
    attention: list[float] = run.last["attention"]
    return run.last["sink_share"], sum(attention) / len(attention)


def best(natural: Sequence[Trained]) -> Trained:
    """Return the run with most attention on BOS; of equal ones the first predicted."""
    return max(natural, key=sinkness)


def measured_order(natural: Sequence[Trained]) -> list[int]:
    """Return the place of each run, 1 for most attention on BOS."""
    order = sorted(range(len(natural)), key=lambda i: sinkness(natural[i]), reverse=True)
    return [order.index(i) + 1 for i in range(len(natural))]


def rank_correlation(places: Sequence[int]) -> float:
    """Return Spearman's correlation of places 1 to n with the order they are given in."""
    n = len(places)
    return 1 - 6 * sum((place - i) ** 2 for i, place in enumerate(places, 1)) / (n * (n**2 - 1))


def write_part(part: str, text: str, file: Path) -> None:
    """Replace what is between the markers of a part of the page.

    Raises:
        UserError: If the file or its markers are missing.
    """
    start, end = f"<!-- {part} -->", f"<!-- /{part} -->"
    page = file.read_text() if file.is_file() else ""
    before, found, rest = page.partition(start)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise UserError(f"{file}: no lines {start} and {end} to write between")
    write_whole(file, f"{before}{start}\n{text}\n{end}{after}")


def markdown(results: SinkRuns) -> str:
    """Return the page's part on text alone."""
    steps, places = results.natural[0].steps, measured_order(results.natural)
    first = results.natural[0].last
    uniform = sum(1 / row for row in range(1, LENGTH + 1)) / LENGTH
    found = sum(run.last["sink"] for run in results.natural)
    longest = results.long[0].steps if results.long else 0
    parts = [
        f"    python -m halluc.world.training.natural_sinks --steps {steps} --long-steps {longest} "
        f"--seed {results.seed}",
        f"Each cell had {steps:,} steps of {BATCH} texts of {LENGTH} tokens, "
        f"{_millions(steps)} million tokens, none of them twice. Uniform attention would give BOS "
        f"{uniform:.3f}. abs(x)/rms is at most {first['limit']:.1f}, and massive from "
        f"{MASSIVE * first['limit']:.1f}. A head has a sink from {EPSILON:g} (Sink1). *Copied* is "
        "the mean probability of the right token after a trigger of Bigram-Backcopy text.",
        "### Natural: nothing planted",
        f"**{found} of {len(places)} cells grew a sink** (BOS massive and attended). The predicted "
        f"order and the measured one have a rank correlation of {rank_correlation(places):+.2f}"
        + ("." if found else "; without a sink in any cell it ranks small differences.")
        + (f" {results.waiting} cells are not trained yet." if results.waiting else ""),
        _table(results.natural, places),
    ]
    if results.planted:
        parts += [
            "### Planted: the same with sinks in the initial weights",
            f"**{sum(run.last['sink'] for run in results.planted)} of {len(results.planted)} kept "
            "a sink.** The first row of each cell is before training.",
            _control(results.planted),
        ]
    for run in results.long:
        parts += [_long_title(run), _course(run)]
    return "\n\n".join(parts)


def of_images(log: Sequence[dict[str, Any]], steps: int) -> str:
    """Return the page's part on the vision-language model: what its log says so far."""
    last = log[-1]
    left = "" if last["step"] + LOG_STEPS >= steps else f" so far, of {steps:,} planned"
    attended = [line for line in log if line["attention_most"] >= EPSILON]
    if last["sink"] or last["attention_most"] < EPSILON:
        grown, but = "grew a sink" if last["sink"] else "grew no sink", ""
    else:
        grown = "is attended as a sink is, and is not massive"
        but = (
            f"Some head gives it {EPSILON:g} of its attention first at step "
            f"{attended[0]['step']:,}, {last['sink_share']:.0%} of heads at the end, the most "
            f"{last['attention_most']:.2f}; its values are {min(last['values']):.2f} of the "
            f"others' in the layer where they are smallest. But max abs(x)/rms stays at "
            f"{max(last['peak_first']):.1f}: the no-op needs no massive activation here. "
        )
    rows = [
        f"| {line['step']:,} | {line['sink_share']:.0%} | {_each(line['attention'], 2)} "
        f"| {line['attention_most']:.2f} | {_each(line['peak_first'], 1)} "
        f"| {_each(line['values'], 2)} | {line['image_peak']:.1f} | {line['image_most']:.2f} |"
        for line in (log[i] for i in _shown(len(log)))
    ]
    head = (
        "step | heads with a sink | attention on BOS by layer | most in a head | max abs(x)/rms of "
        "BOS by layer | abs(v) of BOS over others | max abs(x)/rms of image tokens | most on an "
        "image token"
    )
    return "\n".join(
        [
            "    python -m halluc.world.training.natural_glyph\n",
            f"**In {last['step']:,} steps{left}, BOS {grown}.** {but}abs(x)/rms is at most "
            f"{last['limit']:.1f}, and massive from {MASSIVE * last['limit']:.1f}; attention is "
            "the mean over prompts about 24 scenes, that on an image token the mean over the rows "
            "behind the image, in the head, layer and token with most.\n",
            f"| {head} |",
            "| --- " * (head.count("|") + 1) + "|",
            *rows,
        ]
    )


def title(cell: Cell) -> str:
    """Return a cell in words."""
    name = {"adamw": "AdamW", "muon": "Muon"}[cell.optimiser]
    layer = "one layer, " if cell.layers == 1 else ""
    return f"{name}, {layer}heads of {cell.head}, {cell.share:.0%} backcopy"


def _millions(steps: int) -> str:
    return f"{steps * BATCH * LENGTH / 1e6:.1f}"


def _table(runs: Sequence[Trained], places: Sequence[int]) -> str:
    head = f"| predicted | measured | cell | {COLUMNS} |"
    rows = [
        f"| {i} | {place} | {title(run.cell)} | {_cells(run.last)} |"
        for i, (run, place) in enumerate(zip(runs, places, strict=True), 1)
    ]
    return "\n".join([head, _rule(3), *rows])


def _control(runs: Sequence[Trained]) -> str:
    rows = [
        f"| {title(run.cell)} | {line['step']:,} | {_cells(line)} |"
        for run in runs
        for line in (run.log[0], run.last)
    ]
    return "\n".join([f"| cell | step | {COLUMNS} |", _rule(2), *rows])


def _long_title(run: Trained) -> str:
    what = (
        "The model that the text was made for, with one head: as Guo et al. have it"
        if run.cell.layers == 1
        else "The natural cell with most attention on BOS, again from the start"
    )
    grown = "It grew a sink" if run.last["sink"] else "It grew no sink"
    return (
        f"### Long: {title(run.cell)}\n\n{what}; {run.steps:,} steps, {_millions(run.steps)} "
        f"million tokens. **{grown}{run.left}.**"
    )


def _course(run: Trained) -> str:
    rows = [f"| {run.log[i]['step']:,} | {_cells(run.log[i])} |" for i in _shown(len(run.log))]
    return "\n".join([f"| step | {COLUMNS} |", _rule(1), *rows])


def _shown(lines: int) -> list[int]:
    """Choose lines of a log to show: the first, the last, and some evenly between."""
    return sorted({round((lines - 1) * i / (ROWS - 1)) for i in range(ROWS)})


def _rule(before: int) -> str:
    return "| --- " * (before + COLUMNS.count("|") + 1) + "|"


def _cells(line: dict[str, Any]) -> str:
    copied = "" if line["copied"] is None else f"{line['copied']:.2f}"
    parts = [
        f"{line['sink_share']:.0%}",
        _each(line["attention"], 2),
        f"{line['attention_most']:.2f}",
        _each(line["peak_first"], 1),
        _each(line["values"], 2),
        _each(line["kurtosis"], 1),
        copied,
        f"{line['loss']:.3f}",
    ]
    return " | ".join(parts)


def _each(values: Sequence[float], digits: int) -> str:
    return " ".join(f"{value:.{digits}f}" for value in values)
