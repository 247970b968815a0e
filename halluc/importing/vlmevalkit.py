"""VLMEvalKit's prediction files, `<model>_<dataset>.xlsx` (.tsv, .json), and OpenVLMRecords'.

Layout of vlmeval/inference.py and vlmeval/dataset/image_yorn.py: the data set's table without its
images, with a column "prediction". VLMEval/OpenVLMRecords on the hub has the same files, as
`mmeval/<model>/<model>_<dataset>.xlsx`.
"""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from halluc.data.pairing import unique
from halluc.data.records import Row, rows, table
from halluc.errors import UserError
from halluc.importing.documents import file_name, first, options_of, record_of
from halluc.importing.imported import UNKNOWN, Log
from halluc.importing.spreadsheet import sheet_rows
from halluc.validation import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOOL, RECORDS = "VLMEvalKit", "OpenVLMRecords"
DATASETS = {
    "POPE": "pope_coco",
    "MME": "mme",
    "HallusionBench": "hallusionbench",
    "AMBER": "amber_discriminative",
    "MMVP": "mmvp",
}
COLUMNS = ("index", "question", "answer", "prediction")
FAILED = "Failed to obtain answer"
"""What a prediction starts with where no answer came (FAIL_MSG of vlmeval/inference.py)."""
INDEX = ("category", "subcategory", "visual_input", "set_id", "figure_id", "question_id")
"""What the parts of HallusionBench's index are ("VS_chart_1_0_1_0")."""


def read(path: Path) -> Log:
    """Read a prediction file.

    Raises:
        UserError: If it is not one, or of a data set that is not read here; names the line.
    """
    model, dataset = _named(path)
    benchmark = DATASETS[dataset]
    lines = _lines(path)
    for line in lines:
        if lacking := [name for name in COLUMNS if name not in line.fields]:
            raise UserError(f"{line.where}: has no {', '.join(lacking)}; is it a prediction file?")
    unique([(line.where, str(line["index"])) for line in lines])
    if dataset == "MMVP":
        lines = _consecutive(lines)
    docs = [doc for n, line in enumerate(lines, 1) for doc in _docs(line, dataset, n)]
    return Log(
        tool=TOOL,
        version=UNKNOWN,
        benchmark=benchmark,
        records=[record_of(benchmark, doc, _said(doc)) for doc in _numbered(docs, dataset)],
        model=model,
        notes=["VLMEvalKit has no details of right answers"] if dataset == "HallusionBench" else [],
        failures=FAILED,
    )


def read_record(path: Path) -> Log:
    """Read a file of OpenVLMRecords.

    Raises:
        UserError: As `read`, and if its folder is not its model's.
    """
    log = read(path)
    if path.resolve().parent.name != log.model:
        raise UserError(
            f"{path}: {RECORDS} has it in a folder {log.model!r}; import others from vlmevalkit"
        )
    return replace(log, tool=RECORDS)


def _named(path: Path) -> tuple[str, str]:
    stem, _, suffix = path.name.rpartition(".")
    for dataset in DATASETS:
        if stem.endswith(f"_{dataset}") and suffix in ("xlsx", "tsv", "json"):
            return stem.removesuffix(f"_{dataset}"), dataset
    raise UserError(
        f"{path}: is not a prediction file, <model>_<dataset>.xlsx, .tsv or .json, with one of "
        f"{', '.join(DATASETS)}"
    )


def _lines(path: Path) -> list[Row]:
    if path.suffix == ".xlsx":
        return sheet_rows(path)
    return rows(path) if path.suffix == ".json" else table(path, COLUMNS, delimiter="\t")


def _consecutive(lines: list[Row]) -> list[Row]:
    """Return the lines of MMVP by index: pairs are told by their places."""
    lines = sorted(lines, key=lambda line: line.number("index"))
    start = min(lines[0].number("index"), 1)
    for right, line in enumerate(lines, start):
        if line.number("index") != right:
            raise UserError(
                f"{line.where}: index {line['index']} where {right} is next; is one missing?"
            )
    return lines


def _said(line: Row) -> str:
    """Return what the model said; a number is the text that a spreadsheet took for one."""
    said = line["prediction"]
    number = isinstance(said, (int, float)) and not isinstance(said, bool) and isfinite(said)
    if not isinstance(said, str) and not number:
        raise UserError(f"{line.where}: prediction is {shown(said)}, not a text; is it missing?")
    return str(said)


def _text(line: Row, name: str) -> str:
    """Return a text, or a number as one."""
    value = line[name]
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or not str(value):
        raise UserError(f"{line.where}: {name} is {shown(value)}, not a text")
    return str(value)


def _docs(line: Row, dataset: str, number: int) -> Iterator[Row]:
    """Yield a line as documents: one, or one for each split of POPE that it is in."""
    doc: dict[str, Any] = dict(line.fields) | {"question": _text(line, "question")}
    if dataset == "MME":
        image = file_name(first(line, "image_path", "image"))
        doc["question_id"] = f"{_text(line, 'category')}/{image}"
    elif dataset == "HallusionBench":
        parts = str(line["index"]).split("_")
        if len(parts) != len(INDEX):
            raise UserError(f"{line.where}: index {line['index']!r} is not {'_'.join(INDEX)}")
        truth = {"yes": "1", "no": "0"}.get(str(line["answer"]).strip().lower())
        if truth is None:
            raise UserError(f"{line.where}: answer {line['answer']!r} is neither Yes nor No")
        doc = dict(zip(INDEX, parts, strict=True)) | {"prediction": doc["prediction"]}
        doc |= {"question": line["question"], "gt_answer": truth, "gt_answer_details": "-"}
        doc["filename"] = str(line.fields.get("image_path", ""))
    elif dataset == "AMBER":
        doc |= {"id": line.number("index"), "type": line["category"], "image": line["image_path"]}
        doc["truth"] = str(line["answer"]).strip().lower()
    elif dataset == "MMVP":
        doc |= {"Index": number, "Options": options_of(_text(line, "A"), _text(line, "B"))}
        doc["answer"] = f"({str(line['answer']).strip().lower()})"
    if dataset != "POPE":
        yield Row(line.where, doc)
        return
    splits = [split.strip() for split in _text(line, "category").split(",")]
    if len(set(splits)) < len(splits) or "" in splits:
        raise UserError(f"{line.where}: category {line['category']!r} is not a list of splits")
    for split in splits:
        yield Row(line.where, doc | {"category": split})


def _numbered(docs: list[Row], dataset: str) -> list[Row]:
    """Count POPE's questions in each split; the table counts those of all splits together."""
    if dataset != "POPE":
        return docs
    counts: dict[str, int] = {}
    found = []
    for doc in docs:
        split = doc.text("category")
        counts[split] = counts.get(split, 0) + 1
        found.append(Row(doc.where, doc.fields | {"question_id": counts[split]}))
    return found
