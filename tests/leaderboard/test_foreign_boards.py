"""Boards that somebody else made: refused in one line, or shown as text and nothing more."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from halluc.cli.app import app
from halluc.errors import UserError
from halluc.leaderboard import Board, collect, draw_board, insert, overview, render, write_csv
from halluc.leaderboard.board_file import read_board, write_board
from halluc.leaderboard.corrections import correct
from halluc.leaderboard.csv_file import lines
from halluc.leaderboard.markdown_tables import END, START, markdown
from tests.kit.runs import write_run

HOSTILE = "\x1b]0;pwn\x07[red]a[/] | <script>\n<!-- leaderboard:end --> `*[x](http://y) $\\frac$"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A board of a baseline and a method, as JSON."""
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder, error=0.1)
    write_run(folder, "vhr", error=0.7, params={"gain": 1.0})
    return collect([folder]).model_dump_json()


@pytest.fixture
def board(content: str) -> Board:
    return Board.model_validate_json(content)


@pytest.fixture
def hostile(content: str) -> Board:
    """The same with names that mean harm wherever a board has names of its own."""
    changed = json.loads(content)
    for row in changed["rows"]:
        row["model"] = row["benchmark"] = HOSTILE
        row["method_args"] = {HOSTILE: row["method"]}
        row["method"] = f"={HOSTILE}" if row["method"] == "vhr" else "baseline"
        for part in ("metrics", "differences", "same_length"):
            row[part] = {f"{name}{HOSTILE}": value for name, value in row[part].items()}
    return Board.model_validate(changed)


def test_a_board_is_read_as_it_was_written(board: Board, tmp_path: Path) -> None:
    write_board(board, tmp_path / "new/board.json")
    assert read_board(tmp_path / "new/board.json") == board


DELETED = object()
ROW = ("rows", 1)


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        ((*ROW, "metrics", "chair_s", "value"), float("nan"), r"chair_s\.value: is nan"),
        ((*ROW, "cost", "seconds"), float("inf"), r"cost\.seconds: is inf"),
        ((*ROW, "method_args", "gain"), float("-inf"), r"method_args\.gain: is -inf"),
        ((*ROW, "differences", "chair_s", "p"), 1.5, r"chair_s\.p: Input should be less than"),
        ((*ROW, "differences", "chair_s", "p"), -0.1, r"chair_s\.p: Input should be greater"),
        ((*ROW, "right_wrong"), {"n": 1}, r"right_wrong\."),
        ((*ROW, "decoding", "num_beams"), "3", r"decoding.*num_beams"),
        ((*ROW, "decoding"), {"nosuch": 1}, r"decoding.*nosuch"),
        ((*ROW, "cost", "samples"), DELETED, r"cost: has no 'samples'"),
        ((*ROW, "cost", "samples"), 0, r"cost: 'samples' is 0"),
        ((*ROW, "metrics", "chair_s"), DELETED, r"rows\.1: a difference of 'chair_s'"),
        ((*ROW, "metrics", "chair_s", "scale"), 0.0, r"scale: Input should be greater than 0"),
        ((*ROW, "n"), "12", r"rows\.1\.n: Input should be a valid integer"),
        ((*ROW, "n"), -1, r"rows\.1\.n: Input should be greater"),
        ((*ROW, "method"), "\ud83d", r"rows\.1\.method: is '\\ud83d', not a text"),
        ((*ROW, "method_args", "\ud83d"), 1, r"method_args: has the name '\\ud83d'"),
        ((*ROW, "a\nb"), 1, r"rows\.1\.a\\nb: Extra inputs"),
        (("schema_version",), True, "schema version True"),
        (("schema_version",), "2\n", r"schema version '2\\n'"),
    ],
)
def test_broken_boards_are_refused_in_one_line(
    place: tuple[str | int, ...], value: object, complaint: str, content: str, tmp_path: Path
) -> None:
    changed = json.loads(content)
    inner: Any = reduce(lambda part, key: part[key], place[:-1], changed)
    if value is DELETED:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    file = tmp_path / "board.json"
    file.write_text(json.dumps(changed))
    with pytest.raises(UserError, match=complaint) as refused:
        read_board(file)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("depth", [300, 100_000])
def test_too_deep_boards_are_refused_in_one_line(depth: int, content: str, tmp_path: Path) -> None:
    file = tmp_path / "board.json"
    deep = "[" * depth + "]" * depth
    file.write_text(content.replace('"method_args":{}', f'"method_args":{{"a":{deep}}}'))
    with pytest.raises(UserError, match=r"nested too deeply|not a board") as refused:
        read_board(file)
    assert "\n" not in str(refused.value)
    file.write_bytes(b"\xff")
    with pytest.raises(UserError, match="cannot be read"):
        read_board(file)


@pytest.mark.parametrize("change", ["missing", "scale"])
def test_rows_of_one_table_show_the_same_metrics(change: str, board: Board) -> None:
    first = board.rows[1]
    assert first.setting == board.rows[0].setting and first.baseline != first.key
    if change == "missing":
        del first.metrics["chair_s"], first.differences["chair_s"]
    else:
        first.metrics["chair_s"].scale = 1.0
    with pytest.raises(UserError, match="not both show 'chair_s' of glyph_chair"):
        correct(board)


def test_names_cannot_act_on_a_terminal(hostile: Board) -> None:
    said = io.StringIO()
    console = Console(file=said, force_terminal=True, width=2000)
    for table in render(hostile):
        console.print(table)
    assert "\x1b]0;" not in said.getvalue() and "\x07" not in said.getvalue()
    assert "\\x1b]0;pwn\\x07[red]a[/] | <script>" in said.getvalue()


@pytest.mark.parametrize("tables_of", [markdown, overview])
def test_names_are_text_in_markdown(
    tables_of: Callable[[Board], str], hostile: Board, tmp_path: Path
) -> None:
    text = tables_of(hostile)
    assert "<script" not in text and START not in text and END not in text
    tables = [part.split("\n") for part in text.split("\n\n") if part.startswith("|")]
    assert tables
    for table in tables:
        assert all(line.startswith("|") for line in table)
        assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    file = tmp_path / "README.md"
    file.write_text(f"before\n{START}\n{END}\nafter\n")
    insert(tables_of(hostile), file)
    once = file.read_text()
    insert(tables_of(hostile), file)
    assert file.read_text() == once
    assert once.startswith("before\n") and once.endswith(f"{END}\nafter\n")


def test_texts_are_no_formulas_in_a_spreadsheet(hostile: Board, tmp_path: Path) -> None:
    for row, start in zip(hostile.rows, "=+-@\t\r", strict=False):
        row.run = f"{start}1"
    write_csv(hostile, tmp_path / "board.csv")
    with (tmp_path / "board.csv").open(newline="") as stream:
        written = list(csv.DictReader(stream))
    for line, told in zip(written, lines(hostile), strict=True):
        assert line["run"] == "'" + told["run"]
        assert line["method"][0] not in "=+-@\t\r"
        assert line["value"] == str(told["value"])
        assert line["difference_value"] in (str(told["difference_value"]), "")
    assert any(line["difference_value"].startswith("-") for line in written)


def test_names_are_no_formulas_in_a_figure(hostile: Board, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs pip install 'halluc[sweep]'")
    draw_board(hostile, tmp_path / "board.png")
    assert (tmp_path / "board.png").stat().st_size > 1000


@pytest.mark.parametrize("write", [insert, write_board, write_csv, draw_board])
def test_a_full_disk_leaves_the_old_file(
    write: Callable[[Board, Path], None],
    board: Board,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if write is draw_board:
        pytest.importorskip("matplotlib", reason="needs pip install 'halluc[sweep]'")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    old = f"mine\n{START}\n{END}\nmine too\n"
    file = tmp_path / ("board.png" if write is draw_board else "README.md")
    file.write_text(old)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(board, file)
    assert file.read_text() == old
    assert os.listdir(tmp_path) == [file.name]


def test_a_readme_keeps_its_own_ends_of_lines(board: Board, tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_bytes(f"\ufeffbefore\r\n{START}\r\n{END}\r\nafter".encode())
    insert(markdown(board), file)
    assert file.read_bytes().startswith(f"\ufeffbefore\r\n{START}".encode())
    assert file.read_bytes().endswith(f"{END}\r\nafter".encode())
    (tmp_path / "link.md").symlink_to(file)
    insert(markdown(board), tmp_path / "link.md")
    assert (tmp_path / "link.md").is_symlink()
    file.write_bytes(b"\xff" + START.encode())
    with pytest.raises(UserError, match=r"README.md: is not UTF-8 text"):
        insert(markdown(board), file)


def test_the_command_shows_names_and_paths_as_they_are(hostile: Board, tmp_path: Path) -> None:
    write_board(hostile, tmp_path / "foreign.json")
    output = tmp_path / "[b]out[/b]/board.json"
    done = CliRunner().invoke(
        app, ["leaderboard", str(tmp_path / "foreign.json"), "--output", str(output)]
    )
    assert done.exit_code == 0, done.output
    assert f"{output}: {len(hostile.rows)} rows" in done.output
    assert "\x1b]0;" not in done.output and "\x07" not in done.output
    assert read_board(output).rows[0].model == HOSTILE
