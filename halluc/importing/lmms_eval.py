"""lmms-eval's sample logs: `<date>_samples_<task>.jsonl`, next to `<date>_results.json`.

Layout of lmms_eval/loggers/evaluation_tracker.py (0.3 to 0.7): documents are not logged, but what
each task's `process_results` returned is, under the names of its metrics.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

from halluc.data.records import Row, json_of, rows
from halluc.errors import UserError
from halluc.importing.documents import fields_of, options_of, record_of
from halluc.importing.imported import UNKNOWN, Log, benchmark_of
from halluc.validation import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TOOL = "lmms-eval"
NAME = re.compile(r"(?P<date>.+)_samples_(?P<task>.+?)\.jsonl(\.gz)?")
LOGGED = ("doc_id", "target", "filtered_resps", "doc_hash")
SPLITS = {"pope_adv": "adversarial", "pope_pop": "popular", "pope_random": "random"}
RELABELLED = (99, 100, 279, 280)
"""Questions of MMVP, from 1, whose labels lmms-eval's data set flips; the authors' are put back."""


def read(path: Path) -> Log:
    """Read a sample log.

    Raises:
        UserError: If it is not one, or of a task that is not read here; names the line.
    """
    named = NAME.fullmatch(path.name)
    if named is None:
        raise UserError(f"{path}: is not named <date>_samples_<task>.jsonl, as {TOOL} names logs")
    task = named["task"]
    benchmark = benchmark_of(task, path)
    samples = rows(path)
    for sample in samples:
        if lacking := [name for name in LOGGED if name not in sample.fields]:
            raise UserError(
                f"{sample.where}: has no {', '.join(lacking)}; logs of {TOOL} 0.3 to 0.7 are read"
            )
    samples.sort(key=lambda sample: sample.number("doc_id"))
    records = [
        record_of(benchmark, _doc(sample, task, benchmark), _said(sample)) for sample in samples
    ]
    results = path.with_name(f"{named['date']}_results.json")
    facts = json_of(results, dict) if results.is_file() else {}
    stated = Row(f"{results}, configs", fields_of(Row(str(results), facts), "configs"))
    config = Row(f"{stated.where}, {task}", fields_of(stated, task))
    notes = []
    if task == "pope":
        notes.append("the log does not say splits: give --labels to have them told apart")
    return Log(
        tool=TOOL,
        version=str(facts.get("lmms_eval_version") or UNKNOWN),
        benchmark=benchmark,
        records=records,
        model=str(facts.get("model_name") or path.parent.name or UNKNOWN),
        decoding=fields_of(config, "generation_kwargs") or None,
        notes=notes,
    )


def _said(sample: Row) -> str:
    """Return what the model said, before lmms-eval's filters where they changed it."""
    for name in ("resps", "filtered_resps"):
        value = sample.fields.get(name)
        while isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, str):
            return value
        if isinstance(value, list) and len(value) > 1:
            break
    raise UserError(f"{sample.where}: has not one response; repeats are not read")


def _doc(sample: Row, task: str, benchmark: str) -> Row:
    logged = next((v for v in sample.fields.values() if isinstance(v, dict) and _logs(v)), {})
    prompt = sample.fields.get("input")
    doc: dict[str, Any] = {"question": prompt if isinstance(prompt, str) else "", **logged}
    number = sample.number("doc_id") + 1
    if benchmark.startswith("pope"):
        doc |= {"answer": sample.text("target")}
        doc |= {"category": SPLITS[task]} if task in SPLITS else {"question_id": number}
    elif benchmark.startswith("mme"):
        doc |= {"answer": sample.text("target")}
    elif benchmark.startswith("amber"):
        doc = {"id": number, "truth": _truth(sample)}
    elif benchmark == "mmvp":
        doc |= _mmvp(sample, doc)
    return Row(sample.where, doc)


def _truth(sample: Row) -> list[Any]:
    """Return what AMBER's image shows, which the log writes as Python does."""
    said = sample["target"]
    try:
        truth = ast.literal_eval(said) if isinstance(said, str) else said
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        truth = None
    if not isinstance(truth, list):
        raise UserError(f"{sample.where}: target is {shown(said)}, not a list of objects")
    return truth


def _logs(value: Mapping[str, Any]) -> bool:
    """Return whether it is what `process_results` returned for a metric."""
    return any(key in value for key in ("question_id", "image_id", "pred_letter"))


def _mmvp(sample: Row, doc: Mapping[str, Any]) -> dict[str, Any]:
    lines = str(doc["question"]).split("\n")
    options = [line[3:].strip() for line in lines if re.match(r"[AB]\. ", line)]
    if len(options) != 2 or doc.get("gt") not in ("A", "B"):
        raise UserError(f"{sample.where}: does not ask between A. and B., as {TOOL} asks MMVP")
    number = Row(sample.where, dict(doc)).number("index") + 1
    right = {"A": "(a)", "B": "(b)"}[doc["gt"]]
    if number in RELABELLED:
        right = {"(a)": "(b)", "(b)": "(a)"}[right]
    return {"Index": number, "Question": lines[0], "Options": options_of(*options), "answer": right}
