"""inspect_ai's logs: `.eval`, a zip of a header and a file a sample, or one `.json`.

Layout of src/inspect_ai/log/_log.py (`EvalLog`, version 2). inspect_ai has no task of these
benchmarks; a task of one's own keeps the data set's fields in the metadata of its samples.
"""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

from halluc.data.records import Row, json_of, whole_characters
from halluc.errors import UserError
from halluc.importing.documents import fields_of, record_of
from halluc.importing.imported import UNKNOWN, Log, benchmark_of
from halluc.importing.zip_files import DAMAGED
from halluc.validation import shown

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
    samples = _samples(path, log.get("samples") or [])
    if not samples:
        raise UserError(f"{path}: has no samples; was it logged with them?")
    if any(sample.fields.get("epoch", 1) != 1 for sample in samples):
        raise UserError(f"{path}: has several epochs; import a log of one")
    whole, about = Row(str(path), log), Row(f"{path}, eval", head)
    plan = Row(f"{path}, plan", fields_of(whole, "plan"))
    config = fields_of(plan, "config") | fields_of(about, "model_generate_config")
    return Log(
        tool=TOOL,
        version=str(fields_of(about, "packages").get("inspect_ai") or UNKNOWN),
        benchmark=benchmark,
        records=[record_of(benchmark, _doc(sample), _said(sample)) for sample in samples],
        model=str(head.get("model") or UNKNOWN),
        decoding={key: config[key] for key in DECODING if config.get(key) is not None} or None,
    )


def _archive(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            log: Any = json.loads(archive.read("header.json"))
            names = [name for name in archive.namelist() if name.startswith("samples/")]
            samples = [json.loads(archive.read(name)) for name in names]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except KeyError:
        raise UserError(f"{path}: has no header.json; did the evaluation end?") from None
    except DAMAGED as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    if not isinstance(log, dict):
        raise UserError(f"{path}: header.json is {shown(log)}, not an object")
    return log | {"samples": samples}


def _samples(path: Path, found: Any) -> list[Row]:
    if not isinstance(found, list):
        raise UserError(f"{path}: samples is {shown(found)}, not a list")
    samples = []
    for number, one in enumerate(found, 1):
        if not isinstance(one, dict):
            raise UserError(f"{path} sample {number} in its order: is {shown(one)}, not an object")
        samples.append(Row(f"{path} sample {one.get('id')}", whole_characters(one, str(path))))
    return samples


def _doc(sample: Row) -> Row:
    metadata = fields_of(sample, "metadata")
    doc = {"id": sample["id"], "target": sample["target"], "question": _asked(sample)}
    return Row(sample.where, {**doc, **metadata})


def _asked(sample: Row) -> str:
    """Return the text of the last message of the user."""
    given = sample["input"]
    if isinstance(given, str):
        return given
    messages = _objects(sample.where, "input", given)
    asked = [_text(one, "input") for one in messages if one.fields.get("role") == "user"]
    return asked[-1] if asked else ""


def _said(sample: Row) -> str:
    output = fields_of(sample, "output")
    choices = _objects(sample.where, "choices of the output", output.get("choices") or [])
    if sample.fields.get("error") or not choices:
        raise UserError(f"{sample.where}: has no output; an answer is missing")
    if len(choices) > 1:
        raise UserError(f"{sample.where}: has {len(choices)} choices; repeats are not read")
    return _text(Row(sample.where, fields_of(choices[0], "message")), "output")


def _text(message: Row, what: str) -> str:
    """Join the parts of a message; what the model thought is marked as thoughts are."""
    content = message.fields.get("content")
    if isinstance(content, str):
        return content
    parts = []
    for part in _objects(message.where, f"content of the {what}", content):
        if part.fields.get("type") == "text":
            parts.append(part.text("text"))
        elif part.fields.get("type") == "reasoning":
            parts.append(f"<think>{part.fields.get('reasoning', '')}</think>")
    return "".join(parts)


def _objects(where: str, name: str, value: Any) -> list[Row]:
    """Return the objects in a list."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise UserError(f"{where}: {name} is {shown(value)}, not a text or a list of objects")
    return [Row(where, one) for one in value]
