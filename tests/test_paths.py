"""Places that cannot be written or read are one line and exit code 2."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from halluc.cli.app import run
from tests.kit.runs import write_run

LONG = "y" * 5000


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept") / "runs"
    write_run(folder, benchmarks=("glyph_mme",), limit=2)
    return folder


def said_by(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Run the command line; return its one line of complaint."""
    monkeypatch.setattr(sys, "argv", ["halluc", *arguments])
    with pytest.raises(SystemExit) as left:
        run()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("halluc: ")]
    assert (left.value.code, len(lines)) == (2, 1), lines
    return lines[0]


@pytest.mark.parametrize(
    "place", ["file/runs", "/dev/null/runs", "/proc/self/runs", "n" * 300, "file"]
)
def test_an_output_folder_that_cannot_be_made(
    place: str,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    arguments = ["eval", "--model", str(tiny), "--benchmarks", "glyph_pope", "--limit", "1"]
    said = said_by([*arguments, "--output-dir", place], monkeypatch, capsys)
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["leaderboard", "{runs}", "--output", "{folder}"],
        ["leaderboard", "{runs}", "--output", "{file}/board.json"],
        ["leaderboard", "{runs}", "--output", "/dev/full/board.json"],
        ["leaderboard", "{runs}", "--csv", "{folder}"],
        ["leaderboard", "{runs}", "--markdown", "{folder}"],
        ["leaderboard", "{file}"],
        ["leaderboard", "{runs}/nowhere"],
        ["export", "lm-eval", "{runs}", "--output", "{file}"],
        ["score", "{folder}"],
        ["score", "{runs}/nowhere"],
        ["compare", "{folder}", "{runs}"],
        ["runs", "show", "{folder}"],
        ["status", "{runs}/nowhere"],
        ["eval", "--model", f"x/{LONG}", "--limit", "1"],
        ["eval", "--model", f"./{LONG}", "--limit", "1"],
        ["eval", "--benchmarks", "pope_coco", "--benchmark-args", f"folder={LONG}"],
        ["eval", "--method", "var,nosuch"],
        ["eval", "--method", "var,vhr", "--method-args", "keep=0.4"],
        ["eval", "--method", ","],
        ["eval", "--method-args", "keep=" + "[" * 5000],
        ["eval", "--shard", "9/8"],
        ["power", "--benchmark", "pope_coco", "--difference", "1e-300"],
    ],
    ids=lambda arguments: " ".join(arguments)[:60],
)
def test_places_and_values_that_are_wrong(
    arguments: list[str],
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    places = {"runs": runs, "file": tmp_path / "file", "folder": tmp_path / "folder"}
    typed = [argument.format(**places) if "{" in argument else argument for argument in arguments]
    said = said_by(typed, monkeypatch, capsys)
    assert said.isprintable()
    assert len(said) < 1000


def test_markup_in_a_path_is_shown_as_it_is(
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = str(tmp_path / "with [b]bold[/b] [/]")
    arguments = ["eval", "--model", str(tiny), "--benchmarks", "glyph_pope", "--limit", "1"]
    monkeypatch.setattr(sys, "argv", ["halluc", *arguments, "--output-dir", place])
    with pytest.raises(SystemExit) as left:
        run()
    assert not left.value.code
    assert place in capsys.readouterr().out
