"""What `halluc eval` is told by a file or by seeds, and what it refuses before a model loads."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from halluc.cli.app import app
from halluc.cli.evaluate import seeded
from halluc.cli.option_file import read_options
from halluc.cli.run_remarks import remarks
from halluc.config import DecodingConfig
from halluc.errors import UserError
from halluc.leaderboard import collect
from halluc.models.load_errors import reason_of
from halluc.progress import Pace, clock
from halluc.store import find_scored
from tests.kit.runs import write_run

EVAL: Any = get_command(app).commands["eval"]  # type: ignore[attr-defined]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["eval", *arguments])


def test_a_file_says_what_options_say(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "method: [var, vhr+paint]\nmethod-args: {var: {keep: 0.4, sink_dims: [1, 2]}}\n"
        "limit: 8\nseeds: [0, 1]\nshare: false\ndtype: float32\ngen_kwargs: {do_sample: true}\n"
    )
    assert read_options(file, EVAL) == {
        "method": "var,vhr+paint",
        "method_args": "var.keep=0.4,var.sink_dims=[1, 2]",
        "limit": 8,
        "seeds": "0,1",
        "share": False,
        "dtype": "float32",
        "gen_kwargs": "do_sample=true",
    }
    file.write_text("seeds: 3\n")
    assert read_options(file, EVAL) == {"seeds": "3"}
    file.write_text("")
    assert read_options(file, EVAL) == {}


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        (
            "limit: 3\nmetod: var\n",
            "line 2: unknown option 'metod'; did you mean 'method'?",
        ),
        ("\n\nlimit: x\n", "run.yaml, line 3: limit: input should be a valid integer"),
        ("limit: 3\nlimit: 4\n", "'limit' is given twice"),
        ("- 3\n", "options are a mapping, as in 'method: var'"),
        ("config: other.yaml\n", "line 1: unknown option 'config'"),
        ("limit: [\n", "line 2: broken YAML"),
    ],
)
def test_a_wrong_file_is_one_line(text: str, culprit: str, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=r"\A.*\Z") as refused:
        read_options(file, EVAL)
    assert culprit in str(refused.value)


def test_options_on_the_command_line_win(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("limit: 0\nmethod: vra\n")
    assert "unknown method 'vra'" in str(run("--config", str(file)).exception)
    both = run("--method", "var", "--config", str(file))
    assert "'limit': input should be greater than or equal to 1, not 0" in str(both.exception)
    file.write_text("limit: -1\nmethod: var\n")
    typed = run("--config", str(file), "--limit", "0")
    assert "equal to 1, not 0" in str(typed.exception)


def test_seeds_are_runs_of_their_own_where_answers_are_drawn() -> None:
    drawn = DecodingConfig(do_sample=True)
    assert [one.seed for one in seeded(drawn, "0, 2,2")] == [0, 2]
    assert seeded(drawn, None) == [drawn]
    with pytest.raises(UserError, match="seeds change nothing; add --gen-kwargs do_sample=true"):
        seeded(DecodingConfig(), "0,1")
    with pytest.raises(UserError, match="not drawn at random"):
        seeded(DecodingConfig(num_beams=3), "0,1")
    with pytest.raises(UserError, match="--gen-kwargs has a seed too"):
        seeded(DecodingConfig(do_sample=True, seed=3), "0,1")
    for wrong in ("a", "", "0,-1"):
        with pytest.raises(UserError, match="give whole numbers"):
            seeded(drawn, wrong)


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Fail where a model is loaded."""

    def loaded(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("halluc.evaluation.open_model", loaded)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("no_model")
def test_what_is_missing_is_told_before_a_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "aokvqa_pope_random.json" in str(run("--benchmarks", "pope_aokvqa").exception)
    family = str(run("--benchmarks", "pope").exception)
    assert family.endswith("--benchmarks means pope_aokvqa, pope_coco, pope_gqa here")
    coco = run("--benchmarks", "chair_coco", "--benchmark-args", f"folder={tmp_path}")
    assert "needs COCO's instances_*.json" in str(coco.exception)
    protocol = run("--benchmarks", "glyph_pope", "--benchmark-args", "protocol=foo")
    assert "unknown protocol 'foo', choose from official" in str(protocol.exception)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert "OPENAI_API_KEY is not set" in str(run("--model", "openai:gpt-4o").exception)
    monkeypatch.setattr("halluc.errors.find_spec", lambda _: None)
    quantized = run("--model-args", "quantization=4bit")
    assert "needs bitsandbytes and accelerate: pip install" in str(quantized.exception)
    assert not any(tmp_path.iterdir())


@pytest.mark.usefixtures("no_model")
def test_an_address_of_ones_own_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    asked = run("--model", "openai:m", "--benchmarks", "glyph_mme", "--limit", "1")
    assert str(asked.exception) == "a model was loaded"


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halluc.models.load_errors.find_spec", lambda _: None)
    said = "Qwen2VLVideoProcessor requires the Torchvision library but it was not found"
    assert reason_of(ImportError(said)).endswith("with torchvision: pip install 'halluc[families]'")
    assert "num2words: pip" in reason_of(ImportError("Package `num2words` is required"))
    unfit = RuntimeError("operator torchvision::nms does not exist\nmore\nlines")
    assert reason_of(unfit).startswith("torchvision does not fit torch: pip install --upgrade")


def test_a_start_that_failed_blocks_no_board(tmp_path: Path) -> None:
    write_run(tmp_path, benchmarks=("glyph_mme",))
    failed = write_run(tmp_path, "vhr", benchmarks=("glyph_mme",))
    for file in (*failed.path.glob("scores_*"), *failed.path.glob("readings_*")):
        file.unlink()
    with pytest.raises(UserError, match="was asked and is not scored"):
        collect([tmp_path])
    for file in failed.path.glob("answers_*"):
        file.write_text("")
    assert [row.method for row in collect([tmp_path]).rows] == ["baseline"]


def test_it_is_said_where_nothing_changed_and_where_nothing_was_read(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path, "baseline", error=0.2, benchmarks=("glyph_mme", "glyph_chair")),
        write_run(tmp_path, "var", error=0.2, benchmarks=("glyph_mme", "glyph_chair")),
        write_run(tmp_path, "vhr", error=0.9, benchmarks=("glyph_mme", "glyph_chair")),
    ]
    found = [
        SimpleNamespace(folder=run, scored={one.name: one for one in find_scored(run)})
        for run in runs
    ]
    for one in found:
        one.scores = {name: scored.scores for name, scored in one.scored.items()}
    said = [line.plain for line in remarks(found)]  # type: ignore[arg-type]
    assert said == ["var changed no answer: all are the baseline's."]
    mme = found[2].scores["glyph_mme"]
    found[2].scores["glyph_mme"] = mme.model_copy(update={"unparseable": mme.n // 2})
    said = [line.plain for line in remarks(found[2:])]  # type: ignore[arg-type]
    assert said == [
        f"WARNING: {mme.n // 2} of {mme.n} answers of vhr to glyph_mme could not be read, so its "
        f"numbers mean nothing; 'halluc show {runs[2].path}' shows them."
    ]
    found[2].scores["glyph_mme"] = mme.model_copy(update={"unparseable": mme.n // 2 - 1})
    assert not list(remarks(found[2:]))  # type: ignore[arg-type]


def test_time_left_is_of_the_whole_command(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("halluc.progress.time", SimpleNamespace(monotonic=lambda: now[0]))
    pace = Pace(1000)
    assert pace.remaining() is None
    pace.skip(200)  # known already
    pace.start()
    now[0] += 10
    pace.advance(200)
    assert pace.remaining() == 600 / (200 / 10)  # 600 are left, at 20 a second
    pace.stop()
    now[0] += 500  # scoring does not count
    pace.start()
    now[0] += 10
    pace.advance(200)
    assert pace.remaining() == 400 / (400 / 20)
    assert (clock(3723.4), clock(None)) == ("1:02:03", "-:--:--")


def test_all_commands_are_quiet_and_verbose_alike(tmp_path: Path) -> None:
    commands: dict[str, Any] = dict(get_command(app).commands)  # type: ignore[attr-defined]
    for group in ("runs", "data", "recorded"):
        commands |= {f"{group} {name}": one for name, one in commands.pop(group).commands.items()}
    for name, command in commands.items():
        assert {"quiet", "verbose"} <= {option.name for option in command.params}, name
    assert "baseline" in CliRunner().invoke(app, ["list", "methods"]).stdout
    assert not CliRunner().invoke(app, ["list", "methods", "--quiet"]).stdout
    both = CliRunner().invoke(app, ["list", "methods", "--quiet", "--verbose"])
    assert "contradict each other" in str(both.exception)
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("halluc 0.")
