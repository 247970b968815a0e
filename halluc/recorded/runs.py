"""Published answers made into run folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from halluc.errors import UserError
from halluc.recorded.fetching import get
from halluc.recorded.published_answers import catalogue
from halluc.recorded.record_names import check_names
from halluc.scoring.answer_files import AnswerFiles
from halluc.scoring.base import REGISTRY
from halluc.scoring.building import build, options_taken
from halluc.store.recorded_run import keep_recorded, recorded_asker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from halluc.config import DecodingConfig
    from halluc.store import Scored
    from halluc.store.record import Record


class Fetched(NamedTuple):
    """Published answers that are on this machine.

    Attributes:
        name: Their name in the catalogue.
        file: Where they are.
        scored: Their run, scored; None where something is missing that scoring needs.
        missing: What is missing.
    """

    name: str
    file: Path
    scored: Scored | None
    missing: str = ""


def fetch_recorded(
    names: Sequence[str],
    output_dir: Path,
    ground_truth: Path | None = None,
    options: Mapping[str, Any] | None = None,
    folder: Path | None = None,
) -> list[Fetched]:
    """Get published answers, put them into run folders and score them.

    Args:
        names: Of the catalogue; all without a name.
        output_dir: Where run folders are.
        ground_truth: CHAIR's objects per image, or a folder of COCO's annotations.
        options: Options of benchmarks, each for those that take it; a protocol is for the
            benchmarks that know it.
        folder: Where copies of the published files are; None asks their publishers.

    Raises:
        UserError: If a file cannot be fetched, is not the one that was published, or is broken.
    """
    found = []
    entries = catalogue().find(names)
    protocol = (options or {}).get("protocol")
    read_by = {entry.benchmark: REGISTRY.get(entry.benchmark).protocols for entry in entries}
    if protocol is not None and not any(protocol in known for known in read_by.values()):
        known = ", ".join(sorted({name for names in read_by.values() for name in names}))
        raise UserError(f"--protocol {protocol!r}: unknown, choose from {known}")
    for entry in entries:
        file = get(entry, folder)
        labels = [get(catalogue().label_file(name), folder) for name in entry.labels]
        if entry.benchmark.startswith("chair") and ground_truth is None:
            needs = "give --ground-truth: objects per image, or a folder of COCO's annotations"
            found.append(Fetched(entry.name, file, None, needs))
            continue
        files = AnswerFiles.of(file, labels, ground_truth)
        chosen = dict(options or {})
        if protocol not in read_by[entry.benchmark]:
            chosen.pop("protocol", None)
        scored = keep(
            output_dir, entry.record, entry.model, entry.method, entry.decoded, entry.benchmark,
            files, chosen,
        )  # fmt: skip
        found.append(Fetched(entry.name, file, scored))
    return found


def keep(
    output_dir: Path,
    record: Record,
    model: str,
    method: str,
    decoding: DecodingConfig,
    benchmark: str,
    files: AnswerFiles,
    options: Mapping[str, Any],
    against: str = "",
) -> Scored:
    """Read a file of answers in a benchmark's own formats, and keep it as a recorded run.

    Args:
        record: What is known of the answers.
        model, method, decoding: As `recorded_asker` takes them.
        benchmark: The benchmark's name.
        options: Its options, and those of others, which are left out.
        against: The record's name that must be there to be compared with; "" for whatever there is.

    Raises:
        UserError: If anything about the files is wrong; names the line.
    """
    chosen = options_taken(benchmark, options)
    built = build(benchmark, chosen)
    answers = built.read_answers(files)
    if not answers:
        raise UserError(f"{files.answers}: has no answers")
    asker = recorded_asker(record, model, method, decoding)
    check_names(output_dir, asker, against)
    return keep_recorded(output_dir, asker, built, answers, chosen)
