"""What evaluating many methods on many models takes, and where the design breaks first.

    python -m bench.planning --output docs/planning.md [--gpu a100] [--price 1.5:3] [--methods 40]

What a method and the store cost is measured here, on the embedded model and this machine. What
GPUs, models and answers are like is assumed (`bench.plan.assumed`); the page tells them apart.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from bench.plan.assumed import GPUS, MODELS, Assumed, benchmarks
from bench.plan.grid import WAYS, total
from bench.plan.limits import StoreCosts, duration, limits
from bench.plan.measuring import units
from bench.plan.method_costs import measure, ratios
from bench.plan.page import (
    against_measured,
    assumptions,
    benchmark_table,
    grid_tables,
    methods,
    money,
)
from bench.plan.store_costs import of_answers, of_images, of_locks, of_rows, of_ties, row_held
from bench.plan.store_page import breaking, storage, store_table
from halluc.interventions import REGISTRY
from halluc.models.load import load_model
from halluc.provenance import where

SPEED = Path("docs/performance.md")
SHARDS = 64


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        images: Asked about, by task.
        rounds: Of timing methods.
        yes_no, captions: Two numbers of answers each.
        rows: Two numbers of rows of a board.
        locks: Their number.
    """

    images: dict[str, int]
    rounds: int
    yes_no: tuple[int, int]
    captions: tuple[int, int]
    rows: tuple[int, int]
    locks: int


FULL = Sizes({"yes_no": 2, "caption": 2}, 3, (1000, 10000), (50, 500), (100, 1000), 40)
SMALL = Sizes({"yes_no": 1, "caption": 1}, 1, (36, 72), (4, 8), (3, 6), 3)


def measure_store(sizes: Sizes, folder: Path) -> StoreCosts:
    """Measure the store in an empty folder."""
    places = (folder / str(number) for number in range(1000))
    yes_no, caption = (
        units(dict(of_answers(next(places), name, size) for size in two))
        for name, two in (("glyph_pope", sizes.yes_no), ("glyph_chair", sizes.captions))
    )
    rows = units({n: of_rows(next(places), "glyph_pope", n, 36) for n in sizes.rows})
    by_answers = (
        {n: {"board": of_rows(next(places), name, 6, n)["board"] / 5} for n in sized}
        for name, sized in (
            ("glyph_pope", (yes_no["key"].small, yes_no["key"].large)),
            ("glyph_chair", (caption["key"].small, caption["key"].large)),
        )
    )
    yes_no_row, caption_row = (units(measured)["board"] for measured in by_answers)
    held = row_held(next(places), "glyph_pope", sizes.rows[0], 36)
    ties = units({n: {"ties": of_ties(n)} for n in sizes.rows})["ties"]
    images, locks = of_images(sizes.locks), of_locks(next(places), sizes.locks)
    return StoreCosts(yes_no, caption, rows, yes_no_row, caption_row, held, ties, *images, *locks)


def page(assumed: Assumed, count: int, sizes: Sizes, names: list[str]) -> Iterator[str]:
    """Measure, and write the page.

    Args:
        count: Methods of the grid, the baseline among them.
        names: The methods to measure.
    """
    torch.set_num_threads(1)
    asked, model = benchmarks(), load_model("glyph")
    costs = measure(model, sizes.images, names, sizes.rounds)
    planned = ratios(model, costs, SPEED)
    with tempfile.TemporaryDirectory() as folder:
        store = measure_store(sizes, Path(folder))
    found = limits(store, asked, count, len(MODELS), SHARDS)
    runs = count * len(MODELS) * len(asked)
    plain, ours = (total(way, planned, count, asked, assumed) for way in (WAYS[0], WAYS[-1]))
    machine = where()
    yield "# Planning\n"
    yield (
        f"Made by `make bench` (bench/planning.py). Methods and the store were measured on one of "
        f"{machine['cpus']} shared {machine['machine']} cores, {machine['gpu'] or 'no GPU'}, torch "
        f"{torch.__version__}, in CPU seconds, medians of {sizes.rounds} rounds; methods on the "
        "embedded model. GPU hours are computed from that and from what the first table assumes: "
        "**no GPU was used**, and no computed hour was checked on one.\n"
    )
    yield f"{count} methods x {len(MODELS)} models x {len(asked)} benchmarks, {runs:,} runs, take\n"
    for gpus in (1, 8, 64):
        hours = ours.gpu_hours(gpus)
        yield (
            f"- on {gpus} {assumed.gpu.name}{'s' * (gpus > 1)}: "
            f"**{duration(3600 * ours.wall_hours(gpus))}**, {money(hours, assumed.gpu.price)}."
        )
    first = found[0].what.partition(":")[0]
    yield (
        f"- with nothing shared: {plain.gpu_hours() / ours.gpu_hours():.1f} times as much.\n\n"
        f"The first to break is {first}: {found[0].now} in the grid, {found[0].sign} from "
        f"{found[0].times:.2g} times the grid."
    )
    yield from assumptions(assumed)
    yield from benchmark_table(asked, assumed)
    yield from grid_tables(planned, count, asked, assumed)
    yield from storage(store, asked, count, len(MODELS), SHARDS)
    yield from breaking(found, runs)
    yield from methods(costs, planned)
    yield from against_measured(SPEED.read_text() if SPEED.is_file() else "")
    yield from store_table(store)


def main(
    gpu: Annotated[str, typer.Option(help=", ".join(GPUS))] = "h200",
    price: Annotated[str, typer.Option(help="Dollars an hour: 2.5:4.5; '' for ours.")] = "",
    utilisation: Annotated[float, typer.Option(help="Of the peak, in reading.")] = 0.4,
    bandwidth_share: Annotated[float, typer.Option(help="Of the peak, in writing.")] = 0.6,
    step_ms: Annotated[float, typer.Option(help="The least time of a step.")] = 25,
    batch: Annotated[int, typer.Option(min=1, help="Prompts answered together.")] = 16,
    load: Annotated[float, typer.Option(help="Seconds to load a model.")] = 60,
    count: Annotated[int, typer.Option("--methods", min=2, help="Methods of the grid.")] = 40,
    small: Annotated[bool, typer.Option(help="Measure next to nothing, as a test.")] = False,
    output: Path | None = None,
) -> None:
    """Print the page as markdown, and write it to a file."""
    chosen = GPUS[gpu]
    if price:
        low, _, high = price.partition(":")
        chosen = replace(chosen, price=(float(low), float(high or low)))
    assumed = Assumed(chosen, utilisation, bandwidth_share, step_ms / 1000, batch, load)
    names = [name for name in REGISTRY.names() if name != "baseline"]
    names = ["var", "vmtc"] if small else names
    lines = list(page(assumed, count, SMALL if small else FULL, names))
    print("\n".join(lines))
    if output is not None:
        output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    typer.run(main)
