"""Traces next to answers: which samples, what is in a file, and that nothing is done twice."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from rich.console import Console
from typer.testing import CliRunner

from halluc.attend import trace_panel
from halluc.attend.trace_panel import Panel, panel_of, read_panel, write_panel
from halluc.attend.traced_runs import _traceable, chosen, said, trace_runs
from halluc.attend.tracing import Trace, trace
from halluc.cli.app import app
from halluc.config import MethodConfig, ModelConfig, RunConfig
from halluc.errors import UserError
from halluc.evaluation import Evaluation, evaluate_together
from halluc.evaluation.running import samples_of
from halluc.leaderboard.collecting import find_runs
from halluc.models import VisionLanguageModel
from halluc.scoring.building import build
from halluc.store import find_scored
from halluc.store.kept_runs import problems
from halluc.store.scores_file import AskedSample
from halluc.types import Answer, Sample
from tests.kit.asking import prepared
from tests.kit.families import llava, picture


@pytest.fixture(scope="module")
def tiny() -> VisionLanguageModel:
    return llava()


@pytest.fixture(scope="module")
def found(tiny: VisionLanguageModel) -> Trace:
    return trace(tiny, picture(1, 48, 32), "is there a dog ?", prepared("vcd", tiny), "a cat yes")


def numbers(coded: str, kind: str, *shape: int) -> Any:
    return np.frombuffer(base64.b64decode(coded), kind).reshape(shape)


def test_a_panel_holds_each_word_s_heat(found: Trace, tmp_path: Path) -> None:
    write_panel(panel_of(found, llava().processor.tokenizer), tmp_path / "a" / "panel.json")
    panel = read_panel(tmp_path / "a" / "panel.json")
    assert panel.size == (48, 32) and panel.layers == [0, 1, 2, 3] and panel.own is None
    assert panel.baseline.words == ["a", "cat", "yes"] and panel.method is not None
    for view, seen in ((panel.baseline, found.baseline), (panel.method, found.method)):
        assert seen is not None and view.boxes is not None and seen.lens is not None
        shape = 3, view.layers, view.heads
        assert shape == (3, 4, 4)
        heat = numbers(view.heat, "u1", *shape, 16) / 255
        peaks = numbers(view.peaks, "<f4", *shape)
        exact = seen.of_words()[..., : len(seen.image)][..., seen.image]
        # a byte is 1/255 of the peak, so what is read is within half of that
        assert (np.abs(heat * peaks[..., None] - exact) <= peaks[..., None] / 509).all()
        shares = numbers(view.shares, "<u2", *shape, 5) / 65534
        assert_allclose(shares, seen.shares(), atol=1e-5)
        sinks = numbers(view.sinks, "u1", 4, 16)
        assert (sinks == seen.sinks[:, seen.image]).all()
        assert view.rank == seen.lens.rank.astype(int).tolist()
        assert_allclose(view.chance, seen.lens.probability, atol=1e-4)


def test_heads_then_layers_are_averaged_where_they_take_too_much(
    found: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = found.baseline.of_words()[..., : len(found.baseline.image)][..., found.baseline.image]
    for most, layers, heads, axes in ((767, 4, 1, (2,)), (191, 1, 1, (1, 2))):
        # 3 words x 4 layers x 4 heads x 16 tokens = 768 bytes, 192 without heads
        monkeypatch.setattr(trace_panel, "MOST", most)
        view = panel_of(found, llava().processor.tokenizer).baseline
        assert (view.layers, view.heads) == (layers, heads)
        mean = exact.mean(axes, keepdims=True)
        peaks = numbers(view.peaks, "<f4", 3, layers, heads)
        heat = numbers(view.heat, "u1", 3, layers, heads, 16) / 255 * peaks[..., None]
        assert_allclose(heat, mean, atol=float(peaks.max()) / 500)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("heat", "AAAA"),
        ("heat", "<script>"),
        ("shares", ""),
        ("sinks", "AAAA"),
        ("words", ["one"]),
        ("chance", [[0.5]]),
        ("boxes", [[0, 0, 1, float("inf")]] * 16),
        ("surplus", 1),
    ],
)
def test_a_broken_panel_is_named(found: Trace, tmp_path: Path, name: str, value: Any) -> None:
    content = panel_of(found, llava().processor.tokenizer).model_dump(mode="json")
    content["baseline"][name] = value
    (tmp_path / "panel.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"panel\.json: is not a trace"):
        read_panel(tmp_path / "panel.json")


def answer(id: str, text: str, *drafts: str) -> Answer:
    return Answer(id, id, "all", "?", None, text=text, drafts=drafts)


def test_answers_that_differ_come_first() -> None:
    plain = {id: answer(id, "no") for id in "abcd"}
    own = {"a": answer("a", "no"), "b": answer("b", "yes"), "d": answer("d", "yes", "no")}
    assert chosen("abcd", plain, own, 4) == ["b", "a", "d"]  # c has no answer; d was revised to yes
    assert chosen("dcba", plain, own, 2) == ["b", "d"]
    assert said(own["d"]) == "no"


@pytest.fixture(scope="module")
def done(
    tiny: VisionLanguageModel, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Evaluation], dict[str, list[Sample]]]:
    common = {
        "model": ModelConfig(name="glyph"), "benchmarks": ("glyph_pope",), "limit": 1,
    }  # fmt: skip
    configs = [RunConfig(method=MethodConfig(name=name), **common) for name in ("baseline", "pai")]
    runs = evaluate_together(
        configs, tmp_path_factory.mktemp("runs"), model=tiny, console=Console(file=StringIO())
    )
    return runs, {"glyph_pope": samples_of(build("glyph_pope"), configs[0])}


def test_runs_are_traced_once_and_their_files_stay_as_they_were(
    tiny: VisionLanguageModel, done: tuple[list[Evaluation], dict[str, list[Sample]]]
) -> None:
    runs, samples = done
    folders = [run.folder for run in runs]
    before = {file: file.read_bytes() for folder in folders for file in folder.path.glob("*.*")}
    console = Console(file=StringIO())
    assert trace_runs(tiny, runs, samples, 2, console) == 4  # two samples, baseline and method
    assert trace_runs(tiny, runs, samples, 2, console) == 0
    assert {file: file.read_bytes() for file in before} == before
    for folder in folders:
        assert not list(problems(folder)) and len(list(find_scored(folder))) == 1
        answers = {answer.key: answer for answer in folder.answers("glyph_pope")}
        traces = folder.trace_files("glyph_pope")
        assert len(traces) == 2
        for key, file in traces.items():
            panel = read_panel(file)
            assert panel.sample == answers[key].id and panel.prompt == answers[key].prompt
            last = panel.own or panel.method or panel.baseline
            assert last.text == answers[key].text.strip()
            assert (panel.method is None) == (folder is folders[0])
    assert len(find_runs([folders[0].path.parent])) == 2
    # what is broken, or of another answer, is made again
    (one, other) = folders[1].trace_files("glyph_pope").values()
    one.write_text("{")
    other.write_text(json.dumps({**json.loads(other.read_text()), "of": "before"}))
    assert trace_runs(tiny, runs, samples, 2, console) == 2
    assert Panel.model_validate_json(one.read_bytes()).format == 1


def test_later_turns_and_empty_answers_are_left_out() -> None:
    texts = {"a": "yes", "b": "no", "c": " ", "d": "so"}
    asked = [
        AskedSample(id, id, "all", "?", None, 16, follows="a" if id == "b" else None)
        for id in texts
    ]
    answers = [replace(answer(id, text), max_new_tokens=16) for id, text in texts.items()]
    answers[1] = replace(answers[1], history=(("?", "yes"),))
    answers[3] = replace(answers[3], status="failed")
    run = SimpleNamespace(
        scored={"one": SimpleNamespace(asked_samples=asked)},
        folder=SimpleNamespace(answers=lambda benchmark: answers),
    )
    assert list(_traceable(run, "one")) == ["a"]  # type: ignore[arg-type]


def test_without_a_baseline_both_are_fed_the_method_s_answer(
    tiny: VisionLanguageModel, done: tuple[list[Evaluation], dict[str, list[Sample]]]
) -> None:
    runs, samples = done
    for file in runs[1].folder.trace_files("glyph_pope").values():
        file.unlink()
    assert trace_runs(tiny, runs[1:], samples, 1, Console(file=StringIO())) == 1
    (file,) = runs[1].folder.trace_files("glyph_pope").values()
    panel = read_panel(file)
    said = {one.id: one.text.strip() for one in runs[1].folder.answers("glyph_pope")}
    assert panel.method is not None and panel.own is None
    assert panel.baseline.text == panel.method.text == said[panel.sample]
    file.unlink()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--shard", "1/2"], "--trace looks into the model in one process"),
        (["--processes", "2"], "--trace looks into the model in one process"),
        (["--model", "endpoint:gpt"], "endpoint"),
    ],
)
def test_what_shows_no_attention_is_refused_before_anything_is_asked(
    more: list[str], reason: str, tmp_path: Path
) -> None:
    command = ["eval", "--trace", "1", "--output-dir", str(tmp_path / "runs"), *more]
    found = CliRunner().invoke(app, command)
    assert isinstance(found.exception, UserError) and reason in str(found.exception)
    assert not (tmp_path / "runs").exists()


def test_a_sample_that_cannot_be_traced_is_said(
    tiny: VisionLanguageModel,
    done: tuple[list[Evaluation], dict[str, list[Sample]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs, samples = done
    for folder in (run.folder for run in runs):
        for file in folder.trace_files("glyph_pope").values():
            file.unlink()
    monkeypatch.setattr(tiny.model.generation_config, "bad_words_ids", [[t] for t in range(1, 60)])
    said = StringIO()
    assert trace_runs(tiny, runs, samples, 1, Console(file=said, width=300)) == 0
    assert "glyph_pope: 1 samples are not traced, first" in said.getvalue()
