"""Pages of documentation: their blocks of code, their commands, and a folder these can run in.

A block is fenced, with its language, or indented by four columns: commands, a line each, or TOML.
What cannot run says why in a comment above it: `<!-- not run: needs a cluster -->`.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from halluc.cli.app import app
from halluc.config import BASELINE, DecodingConfig
from halluc.scoring.building import build, one_benchmark
from halluc.store.record import Record
from halluc.store.recorded_run import keep_recorded, recorded_asker
from halluc.types import Answer
from halluc.world import render, scene
from tests.benchmarks.test_own_data import drawn
from tests.importing.test_importing import (
    MODEL,
    POPE,
    archive,
    inspect_head,
    inspect_samples,
    lm_eval_log,
    lmms,
    pope_docs,
    pope_logged,
    workbook,
)
from tests.kit.runs import write_run

ROOT = Path(__file__).parents[2]
REASONS = ("needs a cluster", "needs a scheduler", "needs the network", "needs real weights")
LOADING = (
    "halluc.recorded.runs.get",
    "halluc.models.load_model",
    "halluc.evaluation.open_model",
    "halluc.sweep.running.open_model",
    "halluc.crosscheck.asking_systems.open_model",
    "halluc.doctor.examine",
    "halluc.attend.tracing.trace",
    "halluc.cli.claims.run_halluc",
    "halluc.data.pinned_files._download",
)
"""Where a command would load a model or start another command."""


class Block(NamedTuple):
    """A block of a page; `language` is "" where it is indented, `reason` why it is not run."""

    page: str
    line: int
    language: str
    text: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


class Valid(Exception):
    """What was typed is valid: the command came to the point where it would load a model."""


def load_nothing(*_: Any, **__: Any) -> None:
    raise Valid


def blocks(page: Path) -> Iterator[Block]:
    """Yield a page's blocks, fenced and indented, in their order."""
    lines, number, reason = [*page.read_text().splitlines(), ""], 0, ""
    while number < len(lines):
        line, start = lines[number], number + 1
        if fence := re.match(r"```(\w*)$", line):
            number = lines.index("```", start)
            yield Block(page.name, start, fence[1], "\n".join(lines[start:number]), reason)
        elif line.startswith("    ") and (number == 0 or not re.match(r"\S", lines[number - 1])):
            while number < len(lines) and (lines[number].startswith("    ") or not lines[number]):
                number += 1
            text = "\n".join(one[4:] for one in lines[start - 1 : number])
            yield Block(page.name, start, "", text.rstrip(), reason)
            number -= 1
        if line:
            found = re.fullmatch(r"<!-- not run: (.+) -->", line)
            reason = found[1] if found else ""
        number += 1


def commands(block: Block) -> list[str]:
    """List the commands of an indented block, without their remarks."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [re.sub(r" +# .*", "", line).strip() for line in lines if line.strip()]


def try_command(command: str, patch: pytest.MonkeyPatch) -> None:
    """Run a command up to the point where a model would be loaded; one that loads none runs whole.

    Raises:
        AssertionError: If it is not valid.
    """
    for loading in LOADING:
        patch.setattr(loading, load_nothing)
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    assert done.exit_code == 0 or isinstance(done.exception, Valid), done.exception or done.output


def folder_of_names(folder: Path) -> Path:
    """Fill a folder with what commands of pages name: runs, answers, data, pages, a photo."""
    for names, method in ((("RUN", "RUN_A"), "vhr"), (("RUN_B",), BASELINE)):
        run = write_run(folder / "runs", method, benchmarks=("glyph_mme",), limit=3)
        for name in names:
            (folder / name).symlink_to(run.path)
    (folder / "docs").mkdir()
    for name in ("docs/claims.md", "docs/recorded.md", "board.md"):
        (folder / name).write_text("<!-- leaderboard:start -->\n<!-- leaderboard:end -->\n")
    drawn(folder / "photos", annotated=False)
    drawn(folder / "coco", annotated=True)
    render(scene("test", 0)).save(folder / "photo.jpg")
    benchmark = build(*one_benchmark(f"yes_no:{folder / 'photos'}", {}))
    said = [Answer.of(sample, text="yes") for sample in benchmark.samples()]
    record = Record(name="x", source="x.json", sha256="", baseline="x")
    asker = recorded_asker(record, "LLaVA", BASELINE, DecodingConfig())
    for runs in ("runs", "runs/recorded"):
        keep_recorded(folder / runs, asker, benchmark, said, {})
    asked = [{"question_id": n, "image": f"{n}.jpg", "text": "A dog?"} for n in range(6)]
    labelled = "\n".join(json.dumps({**one, "label": "yes"}) for one in asked)
    for split in ("random", "popular"):
        (folder / f"coco_pope_{split}.json").write_text(labelled)
    for name in ("method.jsonl", "baseline.jsonl", "FILE"):
        text = "\n".join(json.dumps({"question": "A dog?", "answer": "Yes"}) for _ in asked)
        (folder / name).write_text(text)
    fill_with_logs(folder)
    return folder


def fill_with_logs(folder: Path) -> None:
    """Write the logs of other harnesses that docs/other-harnesses.md names."""
    rows = [row for row in POPE if row[0] == "adversarial"]
    for place in (folder, folder / "vcd"):
        lmms(place, "pope_adv", pope_logged(rows))
    lm_eval_log(folder, "pope_coco", pope_docs())
    archive(folder / "2026-11-22T10-15-00_pope.eval", inspect_head(), inspect_samples())
    asked = [
        {
            "index": n,
            "question": f"Is there a {name} in the image?",
            "answer": truth,
            "category": split,
            "image_path": image,
            "prediction": said,
        }
        for n, (split, image, name, truth, said) in enumerate(POPE)
    ]
    workbook(folder / f"{MODEL}_POPE.xlsx", asked)
