"""Boards from runs and from other boards; what cannot be put together is refused."""

from __future__ import annotations

import csv
import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from halluc.config import DecodingConfig
from halluc.errors import UserError
from halluc.leaderboard import Board, collect, read_board, render, write_csv
from halluc.leaderboard.collecting import find_runs
from halluc.leaderboard.json_schema import FILE, schema
from halluc.leaderboard.markdown_tables import markdown
from halluc.store.kept_runs import problems
from tests.kit.runs import VERSIONS, write_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline, a worse method, the same method with another parameter, and one that is short."""
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder, error=0.1)
    write_run(folder, "vhr", error=0.7, params={"gain": 1.0})
    write_run(folder, "vhr", error=0.15, params={"gain": 2.0})
    write_run(folder, "vmtc", error=0.1, short=True)
    return folder


@pytest.fixture(scope="module")
def board(runs: Path) -> Board:
    return collect([runs])


def saved(board: Board, file: Path) -> Path:
    file.write_text(board.model_dump_json(indent=2))
    return file


def row(board: Board, benchmark: str, method: str, **args: Any) -> Any:
    (found,) = (
        row
        for row in board.rows
        if (row.benchmark, row.method) == (benchmark, method)
        and (not args or row.method_args == args)
    )
    return found


def test_every_row_stands_beside_its_baseline(board: Board) -> None:
    assert len(board.rows) == 8
    baseline = row(board, "glyph_mme", "baseline")
    worse = row(board, "glyph_mme", "vhr", gain=1.0)
    assert baseline.baseline == baseline.key == worse.baseline != worse.key
    assert baseline.differences == {} and baseline.right_wrong is None
    gap = worse.differences["total"]
    assert gap.value == pytest.approx(
        worse.metrics["total"].value - baseline.metrics["total"].value
    )
    assert gap.high < 0 and gap.p < 0.001 and gap.effect < -0.5
    assert worse.right_wrong.only_theirs > worse.right_wrong.only_ours
    assert worse.image_processing == "CLIPImageProcessor 0000000000"
    assert (worse.engine, worse.versions) == (1, VERSIONS)
    assert (worse.split, worse.protocol) == ("test", "official")
    assert worse.run.endswith(f"-vhr-{worse.asker}")


def test_corrections_are_over_the_board_and_of_the_headline_alone(board: Board) -> None:
    family = [
        gap
        for row in board.rows
        for name, gap in row.differences.items()
        if row.metrics[name].headline and row.metrics[name].higher_is_better is not None
    ]
    assert len(family) == 3 * 5 + 3 * 3  # MME's four scores and total; chair_s, chair_i, recall
    smallest = min(family, key=lambda gap: gap.p)
    assert smallest.holm == pytest.approx(min(1, smallest.p * len(family)))
    assert all(gap.p <= (gap.bh or 0) <= (gap.holm or 0) for gap in family)
    others = [gap for row in board.rows for gap in row.differences.values() if gap not in family]
    assert others and all(gap.holm is None and gap.bh is None for gap in others)
    tests = [row.right_wrong for row in board.rows if row.right_wrong]
    assert len(tests) == 6
    assert all(test.mid_p <= (test.bh or 0) <= (test.holm or 0) for test in tests)


def test_ties_are_shown(board: Board) -> None:
    groups = {
        (r.method, r.method_args.get("gain")): r.metrics["total"].tie_group
        for r in board.rows
        if r.benchmark == "glyph_mme"
    }
    assert groups["baseline", None] == groups["vhr", 2.0] == groups["vmtc", None] == 1
    assert groups["vhr", 1.0] == 2
    assert row(board, "glyph_chair", "baseline").metrics["length"].tie_group is None


def test_saying_less_wins_nothing_at_equal_length(board: Board) -> None:
    short = row(board, "glyph_chair", "vmtc")
    assert short.differences["recall"].high < 0
    assert short.differences["length"].high < 0
    assert short.same_length["chair_i"].value == short.same_length["recall"].value == 0
    assert row(board, "glyph_mme", "vmtc").same_length == {}


PYDANTIC = ["2", "14"]


def test_the_shipped_schema_is_the_models_and_holds(board: Board, tmp_path: Path) -> None:
    shipped = json.loads(FILE.read_text())
    if version("pydantic").split(".")[:2] == PYDANTIC:  # each words schemas in its own way
        assert shipped == schema(), "run: make schema"
    Draft202012Validator.check_schema(shipped)
    gap = shipped["$defs"]["Gap"]
    assert gap["properties"]["effect"]["description"] == "Cohen's d of paired values, by image."
    assert "Attributes" not in gap["description"] and shipped["$id"] == "urn:halluc:board:6"
    validator = Draft202012Validator(shipped)
    content = json.loads(saved(board, tmp_path / "board.json").read_text())
    assert list(validator.iter_errors(content)) == []
    for path, value in (("schema_version", 1), ("rows", [{}])):
        assert list(validator.iter_errors({**content, path: value}))
    content["rows"][0]["metrics"]["total"] = "good"
    assert list(validator.iter_errors(content))


def test_boards_of_several_machines_come_to_the_board_of_all_runs(
    runs: Path, board: Board, tmp_path: Path
) -> None:
    folders = sorted(runs.iterdir())
    (baseline,) = (folder for folder in folders if "baseline" in folder.name)
    parts = []
    for number, folder in enumerate(folder for folder in folders if folder != baseline):
        part = collect([baseline, folder])
        assert part != board
        parts.append(saved(part, tmp_path / f"{number}.json"))
    assert collect(parts) == board
    assert collect([*parts[:1], runs]) == board
    assert collect([runs, runs]) == board
    assert read_board(saved(board, tmp_path / "all.json")) == board


def test_a_row_without_its_baseline_is_marked(runs: Path, board: Board, tmp_path: Path) -> None:
    (lone,) = (folder for folder in runs.iterdir() if "vmtc" in folder.name)
    alone = collect([lone])
    assert all(row.baseline is None and not row.differences for row in alone.rows)
    assert all(v.tie_group is None for row in alone.rows for v in row.metrics.values())
    assert "| vmtc (no baseline) |" in markdown(alone)
    # the same row of a machine that had the baseline takes its place
    assert collect([lone, saved(board, tmp_path / "board.json")]) == board


def test_a_baseline_has_the_same_decoding(runs: Path, tmp_path: Path) -> None:
    write_run(tmp_path, "vmtc", decoding=DecodingConfig(num_beams=3))
    both = collect([runs, tmp_path])
    beams = [row for row in both.rows if row.decoding["num_beams"] == 3]
    assert len(beams) == 2
    assert all(row.baseline is None for row in beams)


def test_a_baseline_may_have_run_other_benchmarks_too(runs: Path, tmp_path: Path) -> None:
    write_run(tmp_path, "vmtc", benchmarks=("glyph_mme",))
    (lone,) = tmp_path.iterdir()
    (baseline,) = (folder for folder in runs.iterdir() if "baseline" in folder.name)
    rows = collect([lone, baseline]).rows
    assert [bool(row.baseline) for row in rows] == [True, True, True]


def test_duplicates_that_disagree_are_refused(runs: Path, tmp_path: Path) -> None:
    write_run(tmp_path, error=0.3)  # baseline once more, with other answers
    with pytest.raises(UserError, match="baseline on glyph_chair occurs twice and disagrees: "):
        collect([runs, tmp_path])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"schema_version": 2, "rows": []}, "schema version 2, this halluc reads 6"),
        ({"schema_version": 7, "rows": []}, "schema version 7"),
        ({"rows": []}, "not a board of halluc"),
        ([], "not a board of halluc"),
        ({"schema_version": 6, "rows": [{}]}, "broken board, rows.0.key: Field required"),
    ],
)
def test_what_is_no_board_of_this_version_is_refused(
    content: Any, complaint: str, tmp_path: Path
) -> None:
    file = tmp_path / "board.json"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=complaint):
        collect([file])
    file.write_text('{"schema_version": 3, "rows": [')
    with pytest.raises(UserError, match="not a board of halluc"):
        collect([file])


def test_what_is_not_scored_yet_is_refused_or_left_out(tmp_path: Path) -> None:
    write_run(tmp_path)
    run = write_run(tmp_path, "vmtc", benchmarks=("glyph_mme",))
    (scores,) = run.scores_files()
    scores.unlink()
    complaint = f"{run.path.name}: glyph_mme was asked and is not scored; .*--skip-unfinished"
    with pytest.raises(UserError, match=complaint):
        collect([tmp_path])
    left = collect([tmp_path], skip_unfinished=True)
    assert {row.method for row in left.rows} == {"baseline"}


@pytest.mark.parametrize(
    ("file", "skip", "complaint"),
    [
        ("scores", False, "is not a scores file; remove it"),
        ("scores", True, "is not a scores file; remove it"),
        ("readings", False, "is not what the scores were computed from; remove it"),
        ("readings", True, "is not what the scores were computed from; remove it"),
        ("samples", False, "is not what was asked; it was edited or cut: remove it"),
    ],
)
def test_a_file_that_was_cut_is_refused(
    file: str, skip: bool, complaint: str, tmp_path: Path
) -> None:
    write_run(tmp_path)
    run = write_run(tmp_path, "vmtc", benchmarks=("glyph_mme",))
    (cut,) = run.path.glob(f"{file}_glyph_mme_*")
    cut.write_text("".join(cut.read_text().splitlines(keepends=True)[:-3]))
    with pytest.raises(UserError, match=f"{cut.name}: {complaint}"):
        collect([tmp_path], skip_unfinished=skip)


def test_a_board_stands_without_the_answers_of_questions(runs: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(runs, tmp_path / "runs"))
    for file in copy.glob("*/answers_glyph_mme.jsonl"):
        file.unlink()
    assert collect([copy]) == collect([runs])
    problem, *others = [one for run in find_runs([copy]) for one in problems(run)]
    assert "the answer to" in problem and "is no longer there" in problem
    assert len(others) == 3  # a line a run


def test_nothing_to_collect(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run in"):
        collect([tmp_path])
    with pytest.raises(UserError, match="no folder"):
        collect([tmp_path / "nowhere"])


def test_tables_and_csv_show_what_the_board_says(board: Board, tmp_path: Path) -> None:
    text = markdown(board)
    assert "| vhr gain=1.0 |" in text  # two rows of one method tell which is which
    lines = [line for line in text.splitlines() if line.startswith("| vhr gain=1.0")]
    assert "<sup>2</sup><br>**-" in lines[1]
    assert "at equal length" in lines[0] and "at equal length" not in lines[1]
    assert str(next(render(board)).title).startswith("glyph_chair on org/model")
    write_csv(board, tmp_path / "deep/board.csv")
    with (tmp_path / "deep/board.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == sum(len(row.metrics) for row in board.rows)
    worse = row(board, "glyph_mme", "vhr", gain=1.0)
    (line,) = (r for r in rows if r["key"] == worse.key and r["metric"] == "total")
    assert float(line["difference_value"]) == worse.differences["total"].value
    assert float(line["difference_holm"]) == worse.differences["total"].holm
    assert line["tie_group"] == "2"
