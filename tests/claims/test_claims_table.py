"""`halluc claims`: the table, its JSON, and the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from halluc.claims import RULE, all_claims, select
from halluc.claims.claims_table import as_json, beside, markdown, summary
from halluc.claims.register import read_tables
from halluc.claims.verdicts import ENOUGH
from halluc.cli.app import app
from halluc.errors import UserError
from halluc.leaderboard import Board
from halluc.leaderboard.board_file import write_board
from halluc.leaderboard.markdown_tables import END, START
from tests.claims.hand_made import board, published, row

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/claims.md"


@pytest.fixture
def boards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a board of a sampled run of LLaVA, of glyph, and of published answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    made = board(
        row("baseline"),
        row(gain=0.04, stderr=0.01),
        row(gain=0.01, stderr=0.02, model="glyph", benchmark="glyph_pope"),
        row("agla", gain=0.0, stderr=0.01, method_args={}, record=published()),
    )
    write_board(made, tmp_path / "board.json")
    return tmp_path


def invoke(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["claims", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_without_runs_nothing_is_measured() -> None:
    lines = beside(select("vhr"), Board(rows=[]))
    assert summary(lines) == f"{len(lines)} claims: {len(lines)} not measured"
    assert {line.status for line in lines} == {"not measured"}
    said = invoke("--method", "vhr")
    assert "not measured" in said and "reproduced: the interval lies" in " ".join(said.split())


def test_the_table_shows_claims_next_to_measurements(boards: Path) -> None:
    said = invoke("board.json", "--method", "vcd", "--benchmark", "pope_coco")
    line = next(one for one in said.splitlines() if "vcd-pope-random-llava15-7b-accuracy " in one)
    cells = re.split(r" {2,}", line.strip())
    assert cells[1:] == [
        "sampling",
        "83.29 to 87.73: +4.44 %",
        "80.00 to 84.00: +4.00 [+2.04, +5.96] (500 images)",
        "0.99",  # Phi(4.44 - 1.96)
        "reproduced",
    ]
    below = said.splitlines()[said.splitlines().index(line) + 1]
    assert "+1.00 [-2.92, +4.92] (glyph, glyph_pope, 500 images)" in below
    assert "0.60" in below  # Phi(4.44 / 2 - 1.96) = Phi(0.26)
    assert "other model, images" in below
    assert " ".join(said.split()).count(f"the power is at least {ENOUGH:g}") == 1


def test_published_answers_are_marked(boards: Path) -> None:
    # AGLA's own claim states VCD's wording and no scorer; nobody knows the wording of a record
    said = invoke("board.json", "--method", "agla")
    assert "+0.00 [-1.96, +1.96] (recorded, 500 images)" in said and "contradicted" in said
    found = json.loads(invoke("board.json", "--method", "agla", "--json"))["claims"]
    record = next(c for c in found if c["id"] == "agla-pope-random-llava15-7b-accuracy")
    assert record["measured"][0]["recorded"] is True
    assert record["verdict"] == "contradicted"


def test_json_holds_everything(boards: Path) -> None:
    content = json.loads(invoke("board.json", "--json"))
    assert content["rule"] == RULE.replace("**", "")
    assert len(content["claims"]) == len(all_claims())
    first = content["claims"][0]
    assert first["id"] == "vcd-pope-random-llava15-7b-accuracy"
    assert (first["split"], first["unit"], first["difference"]) == ("random", "%", 4.44)
    assert first["decoding"]["do_sample"] is True
    mine, other = first["measured"]
    assert (mine["verdict"], mine["other"], mine["images"]) == ("reproduced", [], 500)
    assert mine["difference"]["low"] == pytest.approx(2.04)
    assert (other["verdict"], other["other"]) == (None, ["model", "images"])
    json.dumps(as_json(beside(select(), board(row(stderr=None)))), allow_nan=False)  # no nan


def test_the_page_is_written_between_its_markers(boards: Path) -> None:
    Path("page.md").write_text(f"# Claims\n\n{START}\nbygone\n{END}\nafter\n")
    assert invoke("board.json", "--markdown", "page.md", "--quiet") == ""
    text = Path("page.md").read_text()
    assert text.startswith(f"# Claims\n\n{START}\n{RULE}\n") and text.endswith(f"{END}\nafter\n")
    assert "bygone" not in text
    count = len(all_claims())  # of VCD's sampled accuracy: its own, and those in AGLA and AvisC
    told = f"{count} claims: 3 reproduced, 1 contradicted, {count - 4} not measured."
    assert f"\n{told}\n" in text
    source = "arXiv:2311.16922; figs/exp1.png of its repository; five runs sampled"
    assert f"### pope_coco on LLaVA-1.5-7B\n\n{source}" in text
    heads = (
        "| claim | decoding | claimed | measured | power | verdict |\n|---|---|---|---|---|---|\n"
    )
    assert text.count(heads) == len(
        {(c.paper, c.source, c.note, c.benchmark, c.model) for c in all_claims().values()}
    )
    line = next(one for one in text.splitlines() if one.startswith("| vcd-pope-random-llava15-7b"))
    assert "84.00: +4.00 \\[+2.04, +5.96\\] (500 images)<br>80.00 to 81.00" in line
    assert line.endswith("| 0.99<br>0.60 | reproduced<br>other model, images |")
    with pytest.raises(UserError, match="no lines"):
        invoke("--markdown", "board.json", "--quiet")


def test_a_claim_of_unlike_decodings_says_so() -> None:
    text = markdown(beside(select("opera", "pope_coco"), Board(rows=[])))
    assert "| 5 beams; baseline: sampling |" in text and "| 5 beams |" in text


def test_wrong_filters_are_one_line() -> None:
    with pytest.raises(UserError, match="--method 'vdc': nothing is claimed of it"):
        invoke("--method", "vdc")
    with pytest.raises(UserError, match="no folder 'nowhere'"):
        invoke("nowhere")


def test_the_page_of_the_repository_lists_all_claims() -> None:
    text = PAGE.read_text()
    assert START in text and END in text
    missing = [id for id in all_claims() if f"| {id} |" not in text]
    assert not missing, "write it again: halluc claims --markdown docs/claims.md --quiet"
    assert RULE in text


def test_the_example_of_the_page_is_a_table() -> None:
    block = PAGE.read_text().partition("    [[table]]")[2].partition("\n\n")[0]
    text = "[[table]]" + block.replace("\n    ", "\n")
    found = read_tables(text, "the page")
    assert [claim.id for claim in found] == [
        "vcd-pope-random-llava15-7b-accuracy",
        "vcd-pope-random-llava15-7b-f1",
    ]
