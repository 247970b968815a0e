"""Whatever the files of a run folder hold: one line of complaint, or what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from halluc.leaderboard import collect
from halluc.scoring.judges.judge_models import CachedJudge
from halluc.store import RunFolder, find_scored
from halluc.store.kept_runs import problems, progress, superseded
from tests.kit.any_file import FEW, MANY, Reader, survives
from tests.kit.runs import write_run

JUDGEMENT = '{"key": "%s", "prompt": "Is it?", "reply": "yes"}\n' % ("0" * 64)


class NoJudge:
    """A judge that is never asked."""

    name = "none"

    def ask(self, prompt: str) -> str:
        raise AssertionError(prompt)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return write_run(tmp_path_factory.mktemp("runs"), "vhr", limit=2, benchmarks=("glyph_mme",))


def everything(folder: Path) -> Any:
    """Read all that is in a run folder, and put it on a board."""
    run = RunFolder.read(folder)
    answers = run.answers("glyph_mme")
    list(problems(run))
    scored = [(one.scores, one.images) for one in find_scored(run)]
    list(progress(run)), list(superseded(run))
    board = collect([folder], skip_unfinished=True) if scored else None
    return run.asker, {answer.key: answer for answer in answers}, scored, board is not None


@pytest.mark.parametrize("kind", ["asker", "answers", "samples", "readings", "scores"])
@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_any_run_folder_is_read_or_refused_in_one_line(
    written: RunFolder, kind: str, examples: int
) -> None:
    files = {file.name: file.read_bytes() for file in written.path.iterdir()}
    (damaged,) = (name for name in files if name.startswith(kind))
    asker, answers, scored, _ = everything(written.path)

    def promised(found: Any) -> bool:
        """An answer is one that was given; who answered and the scores are what was written."""
        said = found[1].items()
        texts = kind == "answers" or all(answer == answers[key] for key, answer in said)
        return found[0].key == asker.key and texts and found[2] in ([], scored)

    form: Literal["json", "lines"] = "json" if damaged.endswith(".json") else "lines"
    survives(Reader(kind, files, damaged, everything, promised, form), examples)


@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_any_judgements_are_read_as_far_as_they_are_whole(examples: int) -> None:
    def read(folder: Path) -> CachedJudge:
        return CachedJudge(NoJudge(), folder / "judgements.jsonl")

    files = {"judgements.jsonl": JUDGEMENT}
    reader = Reader(
        "judgements", files, "judgements.jsonl", read, lambda judge: judge.name == "none", "lines"
    )
    survives(reader, examples)
