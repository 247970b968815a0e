"""The picture of a board shows every compared method in every metric that has a direction."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from halluc.cli.app import app
from halluc.errors import UserError
from halluc.figure_files import BLUE, GREY, ORANGE
from halluc.leaderboard import collect, draw_board
from tests.kit.runs import write_run

pytest.importorskip("matplotlib", reason="needs pip install 'halluc[figures]'")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_run(tmp_path / "runs", error=0.1)
    write_run(tmp_path / "runs", "vhr", error=0.8, params={"gain": 1.0})
    write_run(tmp_path / "runs", "vmtc", error=0.1, short=True)
    return tmp_path / "runs"


def test_what_is_drawn(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    kept: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: object, **kwargs: object) -> None:
        kept.append(figure)
        save(figure, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", keep)
    draw_board(collect([runs]), tmp_path / "new" / "board.png")
    with Image.open(tmp_path / "new" / "board.png") as picture:
        assert picture.width > 500 and picture.getextrema() != ((255, 255),) * 4
    chair, mme = (part.axes for part in kept[0].subfigs)
    assert [panel.get_title().split("\n")[0] for panel in chair] == [
        "chair_s ↓",
        "chair_i ↓",
        "recall ↑",
    ]
    assert [panel.get_title().split("\n")[0] for panel in mme][-1] == "total ↑"
    for panel in (chair[0], mme[0]):
        assert [label.get_text() for label in panel.get_yticklabels()] == ["vhr", "vmtc"]
    points = {(line.get_color(), line.get_marker()) for line in mme[-1].lines}
    assert {(ORANGE, "s"), (GREY, "D")} <= points  # worse for certain, and untold
    assert (BLUE, "o") in {(line.get_color(), line.get_marker()) for line in chair[1].lines}
    assert [panel.get_xlabel() for panel in chair] == [
        "← better, % points",
        "← better, % points",
        "% points, better →",
    ]
    assert mme[-1].get_xlabel() == "better →"


def test_an_axis_on_which_nothing_changes_spans_a_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.axes import Axes

    panels: list[Axes] = []
    monkeypatch.setattr(
        "halluc.leaderboard.board_figure.write_figure",
        lambda figure, file: panels.extend(figure.axes),
    )
    write_run(tmp_path / "runs", error=0.1)
    write_run(tmp_path / "runs", "var", error=0.1)
    draw_board(collect([tmp_path / "runs"]), tmp_path / "board.png")
    for panel in panels:
        low, high = panel.get_xlim()
        assert high - low >= 1


def test_nothing_to_compare(tmp_path: Path) -> None:
    write_run(tmp_path / "runs")
    with pytest.raises(UserError, match="--figure: no run here has a baseline"):
        draw_board(collect([tmp_path / "runs"]), tmp_path / "board.png")


def test_the_command_draws_and_refuses(runs: Path, tmp_path: Path) -> None:
    good = CliRunner().invoke(
        app, ["leaderboard", str(runs), "--quiet", "--figure", str(tmp_path / "a.png")]
    )
    assert good.exit_code == 0 and (tmp_path / "a.png").is_file()
    bad = CliRunner().invoke(app, ["leaderboard", str(runs), "--figure", str(tmp_path / "a.jpg")])
    assert isinstance(bad.exception, UserError)
    assert "a.jpg': give a name that ends in .png, .pdf, .svg" in str(bad.exception)


@pytest.mark.parametrize(("ending", "start"), [(".PDF", b"%PDF"), (".svg", b"<?xml")])
def test_for_print_the_same_board_is_the_same_file(
    ending: str, start: bytes, runs: Path, tmp_path: Path
) -> None:
    board, files = collect([runs]), [tmp_path / f"{name}{ending}" for name in "ab"]
    for file in files:
        draw_board(board, file)
    first, second = (file.read_bytes() for file in files)
    assert first == second and first.startswith(start)
    assert b"/Type3" not in first and b"CreationDate" not in first  # letters publishers take
