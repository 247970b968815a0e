"""The sections of the planning page on GPUs: what is assumed, measured and found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from bench.plan.assumed import GPUS, LENGTH, MODELS, QUESTION, TEMPLATE, Asks, Assumed
from bench.plan.gpu_time import BASELINE, Ratio, Sharing, imbalance, seconds, step_seconds
from bench.plan.grid import WAYS, total
from bench.plan.limits import duration
from bench.plan.method_costs import Cost

SHOWN = MODELS[0]
_HOW: tuple[Sharing, Sharing] = ("nothing", "questions")


def money(hours: float, price: tuple[float, float]) -> str:
    """Write what hours cost, as a range of dollars."""
    digits = 2 if hours * price[1] < 10 else 0
    return f"${hours * price[0]:,.{digits}f} to ${hours * price[1]:,.{digits}f}"


def assumptions(assumed: Assumed) -> Iterator[str]:
    """Say what was not measured here, and by which formula it makes seconds."""
    yield "\n## Assumed: nothing in this section was measured here\n"
    yield "| what | value | option |\n|---|---|---|"
    gpu = assumed.gpu
    peak = f"{gpu.tflops:g} TFLOP/s, {gpu.bandwidth:g} TB/s"
    reached = assumed.utilisation, assumed.bandwidth_share
    step = f"{1000 * assumed.step:g} ms"
    yield f"| GPU | {gpu.name}, its maker's {peak} | `--gpu` |"
    yield f"| an hour of it | ${gpu.price[0]:g} to ${gpu.price[1]:g} | `--price` |"
    yield f"| share of the TFLOP/s, in reading prompts | {reached[0]:g} | `--utilisation` |"
    yield f"| share of the TB/s, in writing tokens | {reached[1]:g} | `--bandwidth-share` |"
    yield f"| least time of a step: Python, starting kernels | {step} | `--step-ms` |"
    yield f"| prompts in a batch | {assumed.batch} | `--batch` |"
    yield f"| start of a process, with its model | {assumed.load:g} s | `--load` |"
    lengths = ", ".join(f"{task.replace('_', '/')} {n}" for task, n in LENGTH.items())
    yield f"| tokens of an answer, where its limit is not lower | {lengths} | |"
    yield f"| tokens of text before the image's end, after it | {TEMPLATE}, {QUESTION} | |"
    yield (
        "\nReading a prompt takes 2 x parameters x tokens operations; a step of decoding reads the "
        "weights and the caches of the batch once, or takes the least time of a step. The vision "
        "tower counts with the parameters. Opening images is taken to be hidden by `--workers`.\n"
    )
    yield "| model | parameters, 10^9 | tokens an image of 640 x 480 | a prompt, ms | a step, ms |"
    yield "|---|---|---|---|---|"
    for model in MODELS:
        prompt = 2 * model.params * (TEMPLATE + model.image + QUESTION)
        reading = prompt / (gpu.tflops * assumed.utilisation)
        yield (
            f"| {model.name} | {model.params:g} | {model.image:,} | {reading:.1f} | "
            f"{1000 * step_seconds(model, assumed):.0f} |"
        )


def methods(costs: Mapping[str, Mapping[str, Cost]], ratios: Sequence[Ratio]) -> Iterator[str]:
    """Show what methods cost on the embedded model, and the ratios that are planned with."""
    yield "\n## Measured: methods, on the embedded model and a CPU\n"
    yield (
        "Passes, tokens read and generated are means over answers. Times are CPU seconds against "
        "the baseline's just before, medians of paired ratios: with nothing shared; alone, sharing "
        "between questions; and in one command with all others, against the baseline alone. "
        "The two last columns are planned with: the time up to the first token and of a "
        "generated token.\n"
    )
    yield (
        "| method | prefix depends on | yes/no: passes, read, written | plain, alone, together | "
        "caption: passes, read, written | plain, alone, together | prompt | token |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for ratio in (BASELINE, *ratios):
        cells = []
        for task in costs.values():
            cost = task[ratio.name]
            cells.append(f"{cost.passes:.1f}, {cost.prompt:.0f}, {cost.tokens:.1f}")
            times = cost.plain, cost.alone, cost.together
            cells.append(", ".join(f"{time:.2f}" for time in times))
        yield (
            f"| {ratio.name} | {ratio.depends} | {' | '.join(cells)} | {ratio.prefill:.2f} | "
            f"{ratio.step:.2f}{' *' * (ratio in ratios and ratio.source != 'here')} |"
        )
    here = sum(ratio.source == "here" for ratio in ratios)
    yield (
        f"\n\\* of docs/performance.md, whose model has LLaVA's number of image tokens. The other "
        f"{here} are this table's plain times, of captions for each token."
    )


def benchmark_table(asked: Sequence[Asks], assumed: Assumed) -> Iterator[str]:
    """Show one method on one model, a benchmark a row."""
    yield f"\n## One run: the baseline on {SHOWN.name}, one {assumed.gpu.name}\n"
    yield (
        "| benchmark | images | questions | that differ | limit of tokens | sizes are of | "
        "nothing shared | as halluc asks | dollars |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for asks in asked:
        plain = seconds(BASELINE, SHOWN, asks, assumed)
        ours = seconds(BASELINE, SHOWN, asks, assumed, "questions")
        limit = " and ".join(str(limit) for *_, limit in asks.parts)
        yield (
            f"| {asks.name} | {asks.images:,} | {asks.questions:,} | {asks.distinct:,} | {limit} | "
            f"{asks.source} | {duration(plain)} | {duration(ours)} | "
            f"{money(ours / 3600, assumed.gpu.price)} |"
        )
    both = [sum(seconds(BASELINE, SHOWN, a, assumed, how) for a in asked) for how in _HOW]
    yield (
        f"| all {len(asked)} | {sum(a.images for a in asked):,} | "
        f"{sum(a.questions for a in asked):,} | {sum(a.distinct for a in asked):,} | | | "
        f"{duration(both[0])} | {duration(both[1])} | {money(both[1] / 3600, assumed.gpu.price)} |"
    )


def grid_tables(
    ratios: Sequence[Ratio], count: int, asked: Sequence[Asks], assumed: Assumed
) -> Iterator[str]:
    """Show the whole grid: GPU hours and money by what is shared, time on the clock by GPUs."""
    runs = count * len(MODELS) * len(asked)
    yield f"\n## The grid of {runs:,} runs, {count} x {len(MODELS)} x {len(asked)}\n"
    yield (
        f"The methods are the baseline and {count - 1} others; each of the {len(ratios)} measured "
        "ones stands for an equal share of them.\n"
    )
    heads = " | ".join(f"{gpu.name}: hours | dollars" for gpu in GPUS.values())
    yield f"| what is shared | {heads} |\n|---|{'---|---|' * len(GPUS)}"
    for way in WAYS:
        cells = []
        for gpu in GPUS.values():
            price = assumed.gpu.price if gpu.name == assumed.gpu.name else gpu.price
            hours = total(way, ratios, count, asked, replace(assumed, gpu=gpu)).gpu_hours()
            cells.append(f"{hours:,.0f} | {money(hours, price)}")
        yield f"| {way.name} | {' | '.join(cells)} |"
    last = WAYS[-1]
    most = total(last, ratios, count, asked, assumed, at_limit=True).gpu_hours()
    rest = [ratio for ratio in ratios if ratio.name != "opera"]
    fewer = total(last, rest, count, asked, assumed).gpu_hours()
    yield (
        f"\nIf every answer ran to its limit of tokens, the last row would be {most:,.0f} hours of "
        f"{assumed.gpu.name}; without OPERA it would be {fewer:,.0f}. OPERA is counted by its time "
        "on a CPU; as it answers one prompt at a time, a GPU may take several times that.\n"
    )
    yield f"| {assumed.gpu.name}s | on the clock | GPU hours paid | dollars |\n|---|---|---|---|"
    ours = total(last, ratios, count, asked, assumed)
    for gpus in (1, 8, 64):
        paid = ours.gpu_hours(gpus)
        yield (
            f"| {gpus} | {duration(3600 * ours.wall_hours(gpus))} | {paid:,.0f} | "
            f"{money(paid, assumed.gpu.price)} |"
        )
    worst = max(asked, key=lambda asks: imbalance(asks.images, 64))
    yield (
        "\nThe rows are of the last way to ask, each benchmark split over all GPUs, and each GPU "
        "loading each model. Shards are split by image, so the largest unit is an image's "
        f"questions. With 64 the fullest shard takes {imbalance(worst.images, 64):.2f} times the "
        f"average on {worst.name} ({worst.images} images), and "
        f"{imbalance(500, 64):.2f} times on POPE's and CHAIR's 500 images. That images have "
        "different numbers of questions, and answers different lengths, is not in it."
    )


def against_measured(page: str) -> Iterator[str]:
    """Compare the formula of sharing with what `bench.speed` measured."""
    yield "\n## The formula of sharing, against what was measured\n"
    yield "| | tokens read, by the formula | time, by docs/performance.md |\n|---|---|---|"
    prefix = TEMPLATE + 576  # the image tokens of its model
    pope, sweep = (
        re.findall(r"^\| (\d+) \| ([\d.]+) \| \*\*([\d.]+)", part.partition("\n## ")[0], re.M)
        for part in (page.partition(start)[2] for start in ("## POPE", "## A sweep"))
    )
    for each, differ, faster in pope:
        read = int(each) * (prefix + QUESTION) / (prefix + float(differ) * QUESTION)
        yield f"| questions an image: {each}, {differ} different | {read:.2f} | {faster} |"
    for each, tokens, faster in sweep:
        text = 12 * int(each) * QUESTION
        read = (12 * prefix + text) / (prefix + text)
        what = f"12 methods in one command, questions an image: {each}, tokens written: {tokens}"
        yield f"| {what} | {read:.2f} | {faster} |"
    yield (
        "\nWritten tokens are not shared, so time falls by less where answers are long or prefixes "
        "are a smaller part."
    )
