"""Documents, as harnesses log them, turned into records of a benchmark's own answers format.

A document has the fields of the data set on the hub that it is from (lmms-lab/POPE, lmms-lab/MME,
lmms-lab/HallusionBench, MMVP/MMVP, AMBER's annotations), or those of halluc's own export.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from halluc.data.records import Row
from halluc.errors import UserError
from halluc.validation import shown

if TYPE_CHECKING:
    from collections.abc import Callable

Record = dict[str, Any]


def record_of(benchmark: str, doc: Row, text: str) -> Row:
    """Turn a document and the model's answer into a record that `read_answers` takes.

    Raises:
        UserError: If the document lacks a field; names its line.
    """
    family = next(name for name in MAKERS if benchmark.startswith(name))
    return Row(doc.where, {**MAKERS[family](doc), "response": text})


def first(doc: Row, *names: str, default: Any = None) -> Any:
    """Return the first of these fields that a document has.

    Raises:
        UserError: If it has none, and there is no default.
    """
    for name in names:
        if doc.fields.get(name) is not None:
            return doc.fields[name]
    if default is None:
        raise UserError(f"{doc.where}: needs {' or '.join(map(repr, names))}")
    return default


def fields_of(row: Row, name: str) -> Record:
    """Return the object in a field; an empty one where there is none.

    Raises:
        UserError: If it is something else.
    """
    value = row.fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(f"{row.where}: {name} is {shown(value)}, not an object")
    return value


def _number(doc: Row, *names: str) -> int:
    """Return the whole number under the first of these names."""
    name = next((name for name in names if doc.fields.get(name) is not None), names[0])
    return doc.number(name)


def _target(doc: Row) -> Record:
    """Return the target of a document that halluc wrote, where it is an object."""
    if not isinstance(doc["target"], dict):
        raise UserError(f"{doc.where}: target is {shown(doc['target'])}, not an object")
    return fields_of(doc, "target")


def _exported(doc: Row) -> bool:
    """Return whether halluc wrote the document (`halluc.export.lm_eval`)."""
    return {"id", "image", "question", "group", "target"} <= doc.fields.keys()


def _pope(doc: Row) -> Record:
    asked = first(doc, "question_id", "id")
    if isinstance(asked, bool) or not isinstance(asked, (int, str)):
        raise UserError(f"{doc.where}: question_id is {shown(asked)}, not an id")
    asked = str(asked).rsplit("/", 1)[-1]
    record: Record = {
        "question_id": int(asked) if asked.isdecimal() else asked,
        "prompt": first(doc, "question", "text", default=""),
        "label": str(first(doc, "answer", "label", "target")).strip().lower(),
    }
    images = [doc.fields.get(name) for name in ("image_source", "image_path", "image")]
    names = [image for image in images if isinstance(image, str) and "<" not in image]
    split = first(doc, "category", "split", "group", default="")
    return record | ({"image": names[0]} if names else {}) | ({"category": split} if split else {})


def _mme(doc: Row) -> Record:
    id = str(first(doc, "image", "question_id") if _exported(doc) else doc["question_id"])
    return {
        "question_id": id,
        "prompt": first(doc, "question"),
        "label": str(first(doc, "answer", "target")).strip().lower(),
    }


def _hallusionbench(doc: Row) -> Record:
    fields = _target(doc) if _exported(doc) else doc.fields
    return {key: value for key, value in fields.items() if key not in ("image", "model_prediction")}


def _amber(doc: Row) -> Record:
    fields = {**_target(doc), "image": doc["image"]} if _exported(doc) else doc.fields
    kept = ("type", "truth", "hallu", "image")
    return {"id": doc.number("id")} | {name: fields[name] for name in kept if name in fields}


def _chair(doc: Row) -> Record:
    return {"image_id": first(doc, "image_id", "image", "question_id")}


def _mmvp(doc: Row) -> Record:
    if _exported(doc):
        answer = Row(doc.where, _target(doc))["answer"]
        return {"question_id": doc.number("id"), "prompt": doc["question"], "answer": answer}
    return {
        "question_id": _number(doc, "Index", "index", "question_id"),
        "prompt": f"{first(doc, 'Question', 'question')} {first(doc, 'Options', 'options')}",
        "answer": str(first(doc, "Correct Answer", "answer")).lower(),
    }


MAKERS: dict[str, Callable[[Row], Record]] = {
    "pope": _pope,
    "mme": _mme,
    "hallusionbench": _hallusionbench,
    "amber": _amber,
    "chair": _chair,
    "mmvp": _mmvp,
}
"""A family of benchmarks to what makes a record of its documents."""


def options_of(*words: str) -> str:
    """Write options as MMVP does: "(a) Open (b) Closed"."""
    return " ".join(f"({letter}) {word}" for letter, word in zip("abcdef", words, strict=False))


def file_name(path: object) -> str:
    """Return a path's last part."""
    return PurePosixPath(str(path)).name
