"""`halluc show`: answers next to the baseline's, and what a method is."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from halluc.cli.app import app
from halluc.cli.catalogue import WIDE, WIDEST, listing, table
from halluc.cli.shown_answers import samples, texts
from tests.kit.runs import write_run


@pytest.fixture(scope="module")
def method(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A method that is more often wrong than the baseline next to it."""
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder, error=0.1)
    return write_run(folder, "vhr", error=0.5).path


def show(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["show", *map(str, arguments)])
    assert done.exception is None, done.exception
    return done.stdout


def test_changed_and_wrong_answers_are_picked(method: Path) -> None:
    everything, changed, wrong = (
        samples(method, benchmark="glyph_mme", **only)["glyph_mme"]
        for only in ({}, {"changed": True}, {"wrong": True})
    )
    assert len(everything) > len(wrong) > 0
    assert all(one.baseline and one.answer.text != one.baseline.text for one in changed)
    assert {one.id for one in changed} == {
        one.id for one in everything if one.baseline and one.answer.text != one.baseline.text
    }
    assert all(one.answer.right is False and one.answer.text != one.target for one in wrong)
    # of yes and no, the one that differs from a right answer is wrong, and the other way round
    assert all(one.baseline and one.baseline.right != one.answer.right for one in changed)


def test_made_up_objects_are_marked(method: Path) -> None:
    wrong = samples(method, wrong=True, benchmark="glyph_chair")["glyph_chair"]
    paragraph = next(texts(wrong))
    assert "[kite]" in paragraph.plain  # and an elephant, which glyph's scenes know nothing of
    assert "\n  baseline: " in paragraph.plain and "\n  vhr: " in paragraph.plain
    red = [paragraph.plain[s.start : s.end] for s in paragraph.spans if "red" in str(s.style)]
    assert "[kite]" in red


def test_the_command_counts_what_it_leaves_out(method: Path) -> None:
    said = show(method, "--benchmark", "glyph_mme", "--wrong", "--limit", "1")
    wrong = len(samples(method, wrong=True, benchmark="glyph_mme")["glyph_mme"])
    assert f"glyph_mme: {wrong} answers, 1 shown; --limit shows more" in said
    assert said.count("  truth: ") == 1
    found = json.loads(show(method, "--benchmark", "glyph_mme", "--wrong", "--json"))
    assert len(found["glyph_mme"]) == wrong
    assert found["glyph_mme"][0]["answer"]["right"] is False


def test_a_method_is_shown_with_its_parameters() -> None:
    said = show("method", "var")
    for part in ("Visual Attention Sink", "arXiv:2503.03321", "least attention to the image"):
        assert part in said
    assert "min_image_mass  0.2" in said and "needs: image tokens in the prompt" in said
    assert "differs: paper moves 60%" in said


def test_a_parameter_is_shown_with_its_choices_and_where_its_default_comes_from() -> None:
    rows = {line.split()[0]: line for line in show("method", "var").splitlines() if line.strip()}
    assert "rows edited; one of after_image, all" in rows["rows"]
    assert rows["variant"].rstrip().endswith("one of paper, official_code")
    assert "by model or variant" in rows["keep"] and "by model or variant" in rows["sink_dims"]
    first = next(line for line in show("method", "vhr").splitlines() if line.startswith("layers "))
    assert "by model " in first  # it has no variants
    drawn = json.loads(show("method", "ritual", "--json"))["parameters"]["transform"]
    assert drawn["default"] is None and drawn["choices"][0] == "horizontal_flip"
    assert "by model" not in show("method", "adaptvis")  # "None: by confidence" says it


def test_wide_terminals_show_titles_of_methods() -> None:
    rows = listing("methods")
    for width, more in ((WIDE - 1, set()), (WIDE, {"title"}), (WIDEST, {"title", "needs"})):
        headers = {str(column.header) for column in table("methods", rows, width).columns}
        assert headers & {"title", "needs"} == more and "paper" in headers
        console = Console(width=width, file=StringIO())
        console.print(table("methods", rows, width))
        if width >= WIDE:  # a long title is cut and not folded
            assert isinstance(console.file, StringIO)
            assert "Unveiling and Harnessing" in console.file.getvalue()
            assert len(console.file.getvalue().splitlines()) < 3 * len(rows)
    piped = CliRunner().invoke(app, ["list", "methods"]).stdout
    assert all(row["title"] in piped for row in rows) and "an image-text matcher" in piped


@pytest.mark.parametrize(
    ("what", "culprit"),
    [
        ("runs", "runs are listed by 'halluc runs list'"),
        ("metods", "nothing to list is called 'metods': choose from methods, benchmarks, models"),
    ],
)
def test_what_cannot_be_listed_is_one_line(what: str, culprit: str) -> None:
    assert str(CliRunner().invoke(app, ["list", what]).exception) == culprit


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["nowhere"], "nowhere is not a run folder"),
        (["method"], "which method?"),
        (["method", "vra"], "unknown method 'vra'"),
        (["nowhere", "var"], "give a run folder alone"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: list[str], culprit: str) -> None:
    assert culprit in str(CliRunner().invoke(app, ["show", *arguments]).exception)


def test_nothing_to_differ_from_is_said(method: Path, tmp_path: Path) -> None:
    alone = write_run(tmp_path, "vhr", benchmarks=("glyph_mme",))
    done = CliRunner().invoke(app, ["show", str(alone.path), "--changed"])
    assert "no run of the baseline next to it" in str(done.exception)


def test_benchmarks_that_are_ready_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halluc.doctor.machine._cached", lambda: {"lmms-lab/MME": 1})
    listed = CliRunner().invoke(app, ["list", "benchmarks", "--ready", "--json"]).stdout
    names = {row["name"] for row in json.loads(listed)}
    assert {"glyph_pope", "mme"} <= names and not {"pope_coco", "pope_gqa"} & names
    wrong = CliRunner().invoke(app, ["list", "methods", "--ready"]).exception
    assert "--ready goes with 'halluc list benchmarks'" in str(wrong)
