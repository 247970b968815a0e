"""Boards of a baseline and a method with numbers made by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from halluc.config import DecodingConfig
from halluc.interventions.compose import find
from halluc.leaderboard import Board, Row
from halluc.leaderboard.board import Gap, Value
from halluc.store.record import Record

LLAVA = "llava-hf/llava-1.5-7b-hf"
COST = dict.fromkeys(
    ("samples", "forward_passes", "prompt_tokens", "tokens", "seconds", "peak_memory_bytes"), 1.0
)


def row(
    method: str = "vcd",
    gain: float = 0.04,
    stderr: float | None = 0.01,
    metric: str = "random/accuracy",
    benchmark: str = "pope_coco",
    model: str = LLAVA,
    seed: int = 0,
    do_sample: bool = True,
    images: int = 500,
    scale: float = 100.0,
    base: float = 0.8,
    args: dict[str, Any] | None = None,
    also: Iterable[str] = (),
    **others: Any,
) -> Row:
    """Make a row of a method whose metric is `base + gain`, or of the baseline.

    Args:
        gain, stderr: Of the paired difference, unscaled; the interval is 1.96 standard errors.
        args: Parameters that are not the method's own.
        also: Further metrics that it has, with the same value.
        others: Further fields, in place of these.
    """
    plain = method == "baseline"
    value = base if plain else base + gain
    known = {"higher_is_better": True, "headline": True, "scale": scale}
    gap = Gap(
        value=gain,
        low=None if stderr is None else gain - 1.96 * stderr,
        high=None if stderr is None else gain + 1.96 * stderr,
        stderr=stderr,
        p=0.5,
        effect=None,
    )
    resolved = find(method).parameters(args or {}).model_dump(mode="json")
    decoding = DecodingConfig(do_sample=do_sample, seed=seed).model_dump()
    fields: dict[str, Any] = {
        "key": f"{benchmark} {model} {method} {resolved} {seed} {do_sample} {others}",
        "setting": f"{benchmark} {model} {seed} {do_sample}",
        "baseline": f"base {benchmark} {model} {seed} {do_sample}",
        "run": f"{method}-{seed}",
        "asker": "a",
        "model": model,
        "revision": None,
        "weights": "w",
        "dtype": "float16",
        "device": "cuda",
        "quantization": None,
        "attn_implementation": "sdpa",
        "trust_remote_code": False,
        "image_processing": "pad CLIP 0",
        "method": method,
        "method_args": resolved,
        "benchmark": benchmark,
        "version": 1,
        "dataset": "d",
        "dataset_revision": "r",
        "split": "",
        "limit": None,
        "protocol": "vcd",
        "judge": None,
        "labels": {},
        "prompt": "vcd",
        "options": {},
        "decoding": decoding,
        "engine": 1,
        "versions": {},
        "n": 6 * images,
        "n_images": images,
        "failed": 0,
        "unparseable": 0,
        "metrics": {
            name: Value(value=value, low=None, high=None, stderr=None, **known)
            for name in (metric, *also)
        },
        "differences": {} if plain else {metric: gap},
        "same_length": {},
        "right_wrong": None,
        "cost": COST,
        "notes": [],
    }
    if plain:
        fields["key"] = fields["baseline"]
    return Row(**fields | others)


def board(*rows: Row) -> Board:
    """Join rows, and the baselines they name."""
    return Board(rows=list(rows))


def published(decoding: str | None = "temperature 1") -> Record:
    """Describe answers that others published."""
    return Record(name="a/b", source="s", sha256="0", decoding=decoding, baseline="a/base")
