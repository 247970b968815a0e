"""inspect_ai's logs: `.eval`, a zip of a header and a file a sample, or one `.json`.

Layout of src/inspect_ai/log/_log.py (`EvalLog`, version 2). inspect_ai has no task of these
benchmarks; a task of one's own keeps the data set's fields in the metadata of its samples.
"""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

from halluc.data.records import Row, json_of
from halluc.errors import UserError
from halluc.importing.documents import record_of
from halluc.importing.imported import UNKNOWN, Log, benchmark_of

if TYPE_CHECKING:
    from pathlib import Path

TOOL, VERSION = "inspect", 2
DECODING = ("temperature", "top_p", "top_k", "seed", "max_tokens", "num_choices")


def read(path: Path) -> Log:
    """Read a log.

    Raises:
        UserError: If it is not one of version 2, or of a task that is not read here, or has
            several epochs; names the sample.
    """
    log = _archive(path) if path.suffix == ".eval" else json_of(path, dict)
    head = log.get("eval")
    if not isinstance(head, dict) or "task" not in head or "status" not in log:
        raise UserError(f"{path}: is not a log of inspect_ai, with 'eval' and 'status'")
    if log.get("version") != VERSION:
        raise UserError(
            f"{path}: is a log of version {log.get('version')}; version {VERSION} is read"
        )
    if log["status"] != "success":
        raise UserError(f"{path}: the evaluation ended with {log['status']!r}; finish it first")
    benchmark = benchmark_of(str(head["task"]).rsplit("/", 1)[-1], path)
    samples = [Row(f"{path} sample {one.get('id')}", one) for one in log.get("samples") or []]
    if not samples:
        raise UserError(f"{path}: has no samples; was it logged with them?")
    if any(sample.fields.get("epoch", 1) != 1 for sample in samples):
        raise UserError(f"{path}: has several epochs; import a log of one")
    config = {
        **(log.get("plan", {}).get("config") or {}),
        **(head.get("model_generate_config") or {}),
    }
    return Log(
        tool=TOOL,
        version=str(head.get("packages", {}).get("inspect_ai") or UNKNOWN),
        benchmark=benchmark,
        records=[record_of(benchmark, _doc(sample), _said(sample)) for sample in samples],
        model=str(head.get("model") or UNKNOWN),
        decoding={key: config[key] for key in DECODING if config.get(key) is not None} or None,
    )


def _archive(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            log: dict[str, Any] = json.loads(archive.read("header.json"))
            names = [name for name in archive.namelist() if name.startswith("samples/")]
            log["samples"] = [json.loads(archive.read(name)) for name in names]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except KeyError:
        raise UserError(f"{path}: has no header.json; did the evaluation end?") from None
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    return log


def _doc(sample: Row) -> Row:
    metadata = sample.fields.get("metadata") or {}
    doc = {"id": sample["id"], "target": sample["target"], "question": _asked(sample)}
    return Row(sample.where, {**doc, **metadata})


def _asked(sample: Row) -> str:
    """Return the text of the last message of the user."""
    given = sample["input"]
    if isinstance(given, str):
        return given
    asked = [_text(one.get("content", "")) for one in given if one.get("role") == "user"]
    return asked[-1] if asked else ""


def _said(sample: Row) -> str:
    choices = (sample.fields.get("output") or {}).get("choices") or []
    if sample.fields.get("error") or not choices:
        raise UserError(f"{sample.where}: has no output; an answer is missing")
    return _text(choices[0]["message"]["content"])


def _text(content: Any) -> str:
    """Join the parts of a message; what the model thought is marked as thoughts are."""
    if isinstance(content, str):
        return content
    parts = []
    for part in content:
        if part.get("type") == "text":
            parts.append(str(part.get("text", "")))
        elif part.get("type") == "reasoning":
            parts.append(f"<think>{part.get('reasoning', '')}</think>")
    return "".join(parts)
