"""LaTeX tables of a board: every method in every headline metric, ready for booktabs."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner

from halluc.cli.app import app
from halluc.leaderboard.latex_tables import latex_text
from tests.kit.runs import write_run


def test_a_board_as_tables(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", error=0.1)
    write_run(tmp_path / "runs", "vhr", error=0.8, params={"gain": 1.0})
    file = tmp_path / "board.tex"
    given = ["leaderboard", str(tmp_path / "runs"), "--quiet", "--latex", str(file)]
    assert CliRunner().invoke(app, given).exit_code == 0
    text = file.read_text(encoding="utf-8")
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
    assert all(text.count(rf"\{rule}rule") == 2 for rule in ("top", "mid", "bottom"))
    chair = text.split(r"\begin{tabular}")[1]
    assert chair.startswith("{lrrrr}\n")
    assert (
        r"method & chair\_s $\downarrow$ & chair\_i $\downarrow$ & recall $\uparrow$ & length \\"
        in chair
    )
    assert r"glyph\_chair on org/model: 12 answers about 12 images" in text
    assert re.search(r"^baseline & 0\.0 & 0\.0 & 100\.0 & [\d.]+ \\\\$", chair, re.M)
    assert re.search(
        r"^vhr & 75\.0 \(\\textbf\{\+75\.0 \[\+\d+\.\d, \+\d+\.\d\]\}\) & ", chair, re.M
    )
    worse = text.split(r"\begin{tabular}")[2]
    assert re.search(r"\(\\textbf\{\$-\$\d+\.\d \[\$-\$\d+\.\d, \$-\$\d+\.\d\]\}\)", worse)


def test_what_would_be_a_command_is_escaped() -> None:
    assert latex_text(r"a_b & 5% $x$ {y} \z") == r"a\_b \& 5\% \$x\$ \{y\} \textbackslash{}z"
