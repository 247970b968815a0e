"""What an evaluation found: tables, samples, comparisons, data frames."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import halluc
from halluc.errors import UserError
from halluc.evaluation import Evaluation
from halluc.python_api.results import Results
from halluc.python_api.text_and_html import aligned
from halluc.store import RunFolder, find_scored
from tests.kit.runs import write_run


def of(*runs: RunFolder, untouched: tuple[str, ...] = ()) -> Results:
    return Results(
        tuple(
            Evaluation(run, {one.name: one for one in find_scored(run)}, [*untouched])
            for run in runs
        )
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("runs")
    return of(
        write_run(folder, error=0.4, limit=4),
        write_run(folder, "vhr", error=0.0, limit=4, params={"gain": 1.5, "on": True}),
        write_run(folder, "vhr", error=0.4, limit=4, params={"gain": 2.0, "on": True}),
    )


def test_namesakes_are_told_apart_by_what_differs(results: Results) -> None:
    assert results.methods == ["baseline", "vhr gain=1.5", "vhr gain=2.0"]
    assert [*results.folders] == results.methods
    assert results.benchmarks == ["glyph_chair", "glyph_mme"]


def test_it_prints_in_80_columns(results: Results, tmp_path: Path) -> None:
    long = write_run(tmp_path, "a_long_name+" * 6 + "x", limit=4, model="m" * 100)
    for shown in (repr(results), repr(of(long)), repr(results.compare("vhr gain=1.5"))):
        assert all(len(line) <= 80 for line in shown.splitlines())
    assert "vhr gain=1.5" in repr(results) and "…" in repr(of(long))
    assert "glyph_mme on org/model" in repr(results) and "p, Holm" in repr(results)


def test_columns_are_aligned() -> None:
    lines = aligned([["", "value"], ["a", "1.0"], ["x" * 90, "2.0"]])
    # 80 columns, less 2 + 5 of the numbers: 73 are left to names
    assert lines == [" " * 75 + "value", "a" + " " * 76 + "1.0", "x" * 72 + "…" + " " * 4 + "2.0"]


def test_html_is_escaped(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>"
    html = of(write_run(tmp_path, bad, limit=2, model="<b>&"), untouched=("<i>",))._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert "<b>&" not in html and "<i>" not in html and html.count("<table>") == 2


def test_a_method_that_edited_nothing_is_named(tmp_path: Path) -> None:
    shown = repr(of(write_run(tmp_path, "var", limit=2), untouched=("glyph_mme",)))
    assert "var edited nothing on glyph_mme" in shown


def test_samples_hold_what_each_method_answered(results: Results) -> None:
    samples = [*results.samples("glyph_mme")]
    scored = results.runs[1].scored["glyph_mme"]
    assert [one.id for one in samples] == [one.id for one in scored.asked_samples]
    for sample in samples:
        for method in results.methods:
            said = sample.answers[method]
            assert said is not None
            assert sample.right[method] == (said.lower() == sample.target)
        assert sample.right["vhr gain=1.5"]  # it never errs
    assert not all(sample.right["baseline"] for sample in samples)
    with pytest.raises(UserError, match="give one of glyph_chair, glyph_mme"):
        results.samples()
    with pytest.raises(UserError, match="benchmark 'pope'"):
        results.samples("pope")


def test_methods_are_compared(results: Results) -> None:
    against = results.compare("vhr gain=1.5")
    row = next(row for row in results.board.rows if row.differences)
    pair = against.pairs[row.benchmark]
    name = next(iter(row.differences))
    gap = pair.metrics[name].difference
    assert gap is not None and gap.value == row.differences[name].value
    turned = results.compare("baseline", "vhr gain=1.5").pairs[row.benchmark]
    other = turned.metrics[name].difference
    assert other is not None and other.value == -gap.value
    assert against.differ_in == () and "<table>" in against._repr_html_()
    with pytest.raises(UserError, match=r"method 'var': give one of baseline, vhr gain=1.5"):
        results.compare("var")


def test_a_frame_has_a_line_a_metric(results: Results) -> None:
    pytest.importorskip("pandas")
    frame: Any = results.to_frame()
    assert len(frame) == sum(len(row.metrics) for row in results.board.rows)
    assert set(frame["method"]) == {"baseline", "vhr"}


def test_without_pandas_one_line_says_so(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="to_frame needs pandas: pip install pandas"):
        results.to_frame()


def test_runs_on_disk_are_compared(results: Results, tmp_path: Path) -> None:
    one, two = (results.folders[name] for name in ("vhr gain=1.5", "baseline"))
    found = halluc.compare(one, str(two))
    assert found.pairs == results.compare("vhr gain=1.5").pairs
    with pytest.raises(UserError, match="no such run folder or file"):
        halluc.compare(one, tmp_path / "nothing")
    with pytest.raises(UserError, match="runs take no 'tables'"):
        halluc.compare(one, two, tables="x")
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(UserError, match="of files give benchmark="):
        halluc.compare(one, tmp_path / "a.json")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"do_sample": True}, r"write decoding=\{'do_sample': True\}"),
        ({"dtpye": "auto"}, "unknown parameter 'dtpye'; did you mean 'dtype'"),
        ({"limit": 0}, "evaluate: parameter 'limit'"),
        ({"methods": "vra"}, "unknown method 'vra'"),
        ({"benchmarks": "glyph_pop"}, "unknown benchmark 'glyph_pop'"),
        ({"decoding": {"num_beam": 2}}, "decoding: unknown parameter 'num_beam'"),
        ({"model": 3}, "int is not a model; give a name"),
        ({"output_dir": __file__}, "is a file; give a folder"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_loaded(
    arguments: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halluc.evaluation.open_model", lambda _: pytest.fail("it was loaded"))
    with pytest.raises(UserError, match=said):
        halluc.evaluate(**arguments)


def test_a_method_that_withholds_every_answer_has_a_row(tiny: Path, tmp_path: Path) -> None:
    silent = {"familiarity": {"threshold": 1.0, "recover": ""}}
    run = halluc.evaluate(str(tiny), [silent], "glyph_pope", limit=1, output_dir=tmp_path)
    row = next(row for row in run.board.rows if row.method == "familiarity")
    assert (row.n, row.withheld) == (0, 18) and row.differences == {}
    assert row.selective is not None and row.selective.coverage.value == 0
    assert all(value.value is None for value in row.metrics.values())
