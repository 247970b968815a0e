"""Tables fit the window without cutting a name, and are plain columns where there is none."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from typer.testing import CliRunner

from halluc.cli.app import app
from halluc.cli.printing import PIPE_WIDTH, say, show, window
from halluc.cli.score_tables import as_json, tables
from halluc.leaderboard import collect, render
from halluc.leaderboard.comparison_tables import Names, names_of, verdict
from halluc.leaderboard.comparison_tables import tables as comparison
from halluc.leaderboard.run_comparison import compare_runs
from halluc.store import RunFolder
from halluc.store.rescoring_runs import rescore
from tests.kit.runs import write_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline that is mostly right, and two methods that are mostly wrong."""
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder, error=0.1)
    write_run(folder, "vhr", error=0.7, params={"gain": 2.0})
    write_run(folder, "vhr", error=0.7, params={"gain": 3.0})
    return folder


def shown(width: int, *items: object, terminal: bool = True) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None)
    show(*items, console=console)  # type: ignore[arg-type]
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_a_board_fits_80_columns_and_grows_with_the_window(runs: Path) -> None:
    board = collect([runs])
    narrow, wide = (shown(width, *render(board, width)) for width in (80, 200))
    for lines, width in ((narrow, 80), (wide, 200)):
        text = "\n".join(lines)
        assert max(map(len, lines)) <= width
        assert "…" not in text
        for name in ("position/score ↑", "at equal length", "chair_s ↓", "tokens"):
            assert name in text
    assert "  vhr gain=2.0" in "\n".join(narrow)  # a line of its own
    assert any("baseline" in line and "vhr gain=3.0" in line for line in wide)
    assert len(narrow) > len(wide)


def test_every_number_of_the_wide_board_is_in_the_narrow_one(runs: Path) -> None:
    board = collect([runs])
    narrow, wide = (" ".join(shown(300, *render(board, width))) for width in (80, None))
    numbers = {word for word in wide.split() if "." in word and "[" not in word}
    assert len(numbers) > 20
    assert not numbers - set(narrow.split())


def test_a_pipe_gets_whole_columns_without_lines() -> None:
    table = Table(title="a title that is longer than the table")
    table.add_column("name", overflow="fold")
    table.add_column("other")
    table.add_row("n" * 200, "one two")
    title, header, row, end = shown(80, table, terminal=False)
    assert title == "a title that is longer than the table"
    assert header.split() == ["name", "other"]
    assert row == "n" * 200 + "  one two"
    assert end == ""
    assert any("─" in line for line in shown(80, table))


def test_a_terminal_folds_long_cells_and_keeps_the_first_column_whole() -> None:
    table = Table()
    for column in ("name", "what"):
        table.add_column(column)
    table.add_row("a_name_of_one_word", "w" * 100)
    lines = shown(60, table)
    assert max(map(len, lines)) <= 60
    assert any(line.startswith("a_name_of_one_word  w") for line in lines)
    assert "".join(lines).count("w") == 100 + 2  # of "what" and "word"


def test_without_a_window_columns_are_counted_or_120(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "77")
    assert window().width == 77
    monkeypatch.delenv("COLUMNS")
    assert window().width == PIPE_WIDTH


def test_a_path_is_never_broken() -> None:
    file = io.StringIO()
    say("runs/" + "long" * 40, Console(file=file, width=40, force_terminal=True))
    assert file.getvalue().count("\n") == 1


def test_compared_runs_are_named_and_judged_in_one_sentence(runs: Path) -> None:
    baseline, two, three = sorted(runs.iterdir(), key=lambda run: "baseline" not in run.name)
    pairs, _ = compare_runs(two, baseline)
    names = names_of(two, baseline)
    assert names == ("vhr", "baseline")
    narrow, wide = (shown(width, *comparison(pairs, names, width)) for width in (80, 120))
    assert any(line.split()[:2] == ["vhr", "baseline"] for line in narrow)
    assert max(map(len, narrow)) <= 80
    assert any("chair_s ↓" in line for line in narrow)
    assert not any("effect" in line for line in narrow)
    assert any(line.endswith("p, BH  effect") for line in wide)
    said = verdict(pairs, names)
    assert said.startswith("Verdict: vhr against baseline is worse in ")
    assert "total of glyph_mme (-" in said and said.endswith("(Holm, 5%).")
    swapped = verdict(compare_runs(baseline, two).pairs, names_of(baseline, two))
    assert swapped.startswith("Verdict: baseline against vhr is better in ")
    same = verdict(compare_runs(two, three).pairs, names_of(two, three))
    assert names_of(two, three) in [
        ("vhr gain=2.0", "vhr gain=3.0"),
        ("vhr gain=3.0", "vhr gain=2.0"),
    ]
    # existence, count, position, color, total of MME; chair_s, chair_i, recall of CHAIR
    assert "cannot be told from" in same and "in any of 8 metrics" in same


def test_long_names_are_letters_with_a_key(runs: Path) -> None:
    names = Names("vhr gain=2.0,layers=[0, 1, 2]", "baseline")
    baseline, two, _ = sorted(runs.iterdir(), key=lambda run: "baseline" not in run.name)
    lines = shown(80, *comparison(compare_runs(two, baseline).pairs, names, 80))
    assert lines[:2] == [f"A is {names.ours}", "B is baseline"]
    assert any(line.split()[:2] == ["A", "B"] for line in lines)


def test_scores_are_shown_as_an_evaluation_shows_them(runs: Path) -> None:
    (baseline,) = runs.glob("*-baseline-*")
    value = collect([baseline]).rows[0].metrics["chair_s"]
    assert value.value is not None
    found = as_json(rescore(RunFolder.read(baseline), {}, "glyph_chair"))
    lines = shown(80, *tables(found, "baseline on org/model"))
    assert lines[0] == "glyph_chair, 12 answers of baseline on org/model"
    (row,) = (line for line in lines if line.startswith("chair_s ↓"))
    assert row.split()[2] == f"{100 * value.value:.1f}" and "[" in row


def test_a_typing_error_in_a_folder_is_named_alone(runs: Path) -> None:
    done = CliRunner().invoke(app, ["compare", str(next(runs.iterdir())), "nowhere"])
    assert str(done.exception).startswith("nowhere: no such run folder;")
