"""lm-evaluation-harness's logs: `samples_<task>_<date>.jsonl`, next to `results_<date>.json`.

Layout of lm_eval/loggers/evaluation_tracker.py (0.4), which logs the document of each sample. The
harness has no task of these benchmarks: such logs are from tasks of one's own over their data sets
on the hub, or are what `halluc export` wrote.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from halluc.data.records import Row, json_of, rows
from halluc.errors import UserError
from halluc.importing.documents import fields_of, record_of
from halluc.importing.imported import UNKNOWN, Log, benchmark_of
from halluc.scoring.base import REGISTRY

if TYPE_CHECKING:
    from pathlib import Path

TOOL = "lm-eval"
NAME = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.+-]+)\.jsonl(\.gz)?")
LOGGED = ("doc_id", "doc", "target", "arguments", "resps")


def read(path: Path) -> Log:
    """Read a sample log.

    Raises:
        UserError: If it is not one of 0.4, or of a task that is not read here; names the line.
    """
    named = NAME.fullmatch(path.name)
    if named is None:
        raise UserError(f"{path}: is not named samples_<task>_<date>.jsonl, as {TOOL} names logs")
    task = named["task"]
    exported = [
        name for name in REGISTRY.names() if re.fullmatch(rf"{name}(_[0-9a-f]{{10}})?", task)
    ]
    benchmark = exported[0] if exported else benchmark_of(task, path)
    benchmark_of(benchmark, path)
    samples = rows(path)
    for sample in samples:
        if lacking := [name for name in LOGGED if name not in sample.fields]:
            raise UserError(
                f"{sample.where}: has no {', '.join(lacking)}; logs of {TOOL} 0.4 are read"
            )
    one = samples[0].fields.get("filter", "none")
    samples = [sample for sample in samples if sample.fields.get("filter", "none") == one]
    results = path.with_name(f"results_{named['date']}.json")
    facts = json_of(results, dict) if results.is_file() else {}
    version = str(facts.get("lm_eval_version") or UNKNOWN)
    if version != UNKNOWN and not version.startswith("0.4"):
        raise UserError(f"{results}: is of {TOOL} {version}; logs of 0.4 are read")
    return Log(
        tool=TOOL,
        version=version,
        benchmark=benchmark,
        records=[record_of(benchmark, _doc(sample), _said(sample)) for sample in samples],
        model=str(facts.get("model_name") or path.parent.name or UNKNOWN),
        decoding=_decoding(samples[0]),
    )


def _doc(sample: Row) -> Row:
    doc = sample["doc"]
    if not isinstance(doc, dict):
        raise UserError(f"{sample.where}: doc is not an object")
    prompt = _arguments(sample).get("arg_0", "")
    asked = {"question": prompt if isinstance(prompt, str) else ""}
    return Row(sample.where, asked | {"target": sample["target"]} | doc)


def _said(sample: Row) -> str:
    value: Any = sample["resps"]
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        raise UserError(f"{sample.where}: has not one response of text; repeats are not read")
    return value


def _arguments(sample: Row) -> dict[str, Any]:
    """Return what the model was given: the prompt, and how to generate."""
    given = Row(sample.where, fields_of(sample, "arguments"))
    return fields_of(given, "gen_args_0")


def _decoding(sample: Row) -> dict[str, Any] | None:
    stated = _arguments(sample).get("arg_1")
    return stated if isinstance(stated, dict) else None
