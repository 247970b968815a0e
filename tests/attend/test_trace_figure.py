"""Files of a trace: numbers that can be read back, and pictures of any kind of image."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image
from typer.testing import CliRunner

from halluc.attend.key_shares import KINDS
from halluc.attend.trace_figure import draw_words, word_map
from halluc.attend.trace_files import mean_shares, write_trace
from halluc.attend.tracing import Trace, trace
from halluc.cli.app import app
from halluc.cli.attend import numbers
from halluc.errors import UserError
from halluc.world import render, scene
from tests.kit.asking import prepared
from tests.kit.families import build, llava, picture

TINY = llava()


@pytest.fixture(scope="module")
def found() -> Trace:
    method = prepared("vcd", TINY)
    return trace(TINY, picture(1), "is there a dog ?", method, "there is a $cat$ ? yes")


def test_files_hold_all_numbers(found: Trace, tmp_path: Path) -> None:
    files = write_trace(found, tmp_path, TINY.processor.tokenizer, heads=[0, 2])
    assert [file.name for file in files] == ["trace.npz", "trace.json"]
    with np.load(files[0]) as arrays:
        assert_allclose(arrays["method_attention"], found.method.attention)  # type: ignore[union-attr]
        assert_allclose(arrays["baseline_places"], found.baseline.places.boxes)  # type: ignore[union-attr]
        assert arrays["layers"].tolist() == [0, 1, 2, 3]
        assert not [name for name in arrays if name.startswith("own")]
        rank = arrays["baseline_rank"]
    told = json.loads(files[1].read_text())
    assert told["answer"] == "given" and told["heads"] == [0, 2] and "own" not in told
    words = told["baseline"]["words"]
    assert [word["word"] for word in words][:2] == ["there", "is"]
    assert words[1]["rank"] == rank[1].astype(int).tolist()
    for word in words:
        assert sum(word["shares"].values()) == pytest.approx(1, abs=1e-5)
        assert list(word["shares"]) == list(KINDS)


def test_shares_of_some_heads(found: Trace) -> None:
    whole = found.baseline.shares()
    assert_allclose(mean_shares(found.baseline), whole.mean((1, 2)))
    assert_allclose(mean_shares(found.baseline, [1]), whole[:, :, 1].mean(1))


def test_a_word_s_map_is_the_mean_of_its_tokens(found: Trace) -> None:
    seen = found.baseline
    both = replace(seen, words=[seen.words[0]._replace(stop=2)])
    one, other, mean = word_map(seen, 0), word_map(seen, 1), word_map(both, 0)
    assert one is not None and other is not None and mean is not None
    assert_allclose(mean, (one + other) / 2, rtol=1e-5)
    # One grid over all the image: the mean density is the row's attention to the image.
    image = seen.attention[0].mean((0, 1))[: len(seen.image)][seen.image].sum()
    assert one.shape == (32, 32) and one.mean() == pytest.approx(image, abs=1e-5)


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_figures_are_drawn(found: Trace, tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"words.{kind}"
    assert found.method is not None
    draw_words(found.image, [found.baseline, found.method], [0, 3], file, "a $title$")
    first = file.read_bytes()
    draw_words(found.image, [found.baseline, found.method], [0, 3], file, "a $title$")
    assert file.read_bytes() == first  # the same every time
    assert first.startswith(b"%PDF" if kind == "pdf" else b"\x89PNG")


def test_a_figure_without_lens_or_places(found: Trace, tmp_path: Path) -> None:
    bare = replace(found.baseline, lens=None, places=None)
    draw_words(found.image, [bare, bare], [0], tmp_path / "bare.png", "bare")
    with Image.open(tmp_path / "bare.png") as drawn:
        assert drawn.width > drawn.height


def test_layers_without_attention_are_left_out(tmp_path: Path) -> None:
    model = build("qwen3_5")  # its first and last layers are linear
    seen = trace(model, picture(1, 96, 48), "is there a dog ?", answer="yes there").baseline
    assert_allclose(mean_shares(seen).sum(-1), 1, atol=1e-5)
    drawn = word_map(seen, 0, size=(48, 24))
    assert drawn is not None and not np.isnan(drawn).any()


def test_heads_that_attend_to_nothing_are_left_out(found: Trace) -> None:
    silent = found.baseline.attention.copy()
    silent[:, :, 1] = 0
    others = found.baseline.shares()[:, :, [0, 2, 3]].mean((1, 2))
    assert_allclose(mean_shares(replace(found.baseline, attention=silent)), others)


def test_an_answer_without_words(found: Trace, tmp_path: Path) -> None:
    empty = replace(found, baseline=replace(found.baseline, words=[]), method=None)
    assert mean_shares(empty.baseline).shape == (0, len(KINDS))
    write_trace(empty, tmp_path, TINY.processor.tokenizer)
    assert json.loads((tmp_path / "trace.json").read_text())["baseline"]["words"] == []


def test_numbers_are_read() -> None:
    assert numbers("--layers", "3, 5-7,3") == [3, 5, 6, 7]
    assert numbers("--layers", "") is None
    for wrong in ("a", "3-", "-2", ","):
        with pytest.raises(UserError, match="--layers"):
            numbers("--layers", wrong)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("photo") / "farm.png"
    render(scene("test", 3)).save(file)
    return file


def command(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["attend", *arguments])
    assert done.exit_code == 0, done.exception or done.output
    return done.output


def test_the_command_writes_numbers_and_figures(photo: Path, tmp_path: Path) -> None:
    place = ["--image", str(photo), "--output", str(tmp_path / "out"), "--words", "farm"]
    said = command("--method", "vhr", "--max-new-tokens", "10", *place)
    assert "baseline -> vhr" in said and "farm" in said
    written = {file.name for file in (tmp_path / "out").iterdir()}
    assert written >= {"trace.npz", "trace.json", "words.png", "words.pdf"}
    assert all(name in said.replace("\n", "") for name in written)


def test_the_command_draws_one_figure_of_a_given_answer(photo: Path, tmp_path: Path) -> None:
    figure = tmp_path / "one.pdf"
    place = ["--image", str(photo), "--output", str(tmp_path / "out"), "--figure", str(figure)]
    command("--answer", "A cow.", "--layers", "1,3", "--heads", "0", *place)
    assert figure.exists() and not list((tmp_path / "out").glob("*.p[nd]?"))
    told = json.loads((tmp_path / "out/trace.json").read_text())
    assert told["layers"] == [1, 3] and told["baseline"]["text"] == "A cow."


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--method", "vra"], "unknown method 'vra'"),
        (["--figure", "words.gif"], "ends in .png, .pdf, .svg"),
        (["--image", "nowhere.png"], "--image nowhere.png: there is no such file"),
        (["--heads", "7"], "'glyph' has heads 0 to 3"),
        (["--layers", "7"], "there is no layer 7"),
        (["--answer", "A cow.", "--words", "dog"], "the answer has no word 'dog': A cow ."),
        (["--answer", "..."], "no words to draw"),
        (["--model", "openai:x"], "behind an endpoint"),
    ],
)
def test_mistakes_are_one_line(
    photo: Path, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    given = ["attend", "--image", str(photo), "--output", str(tmp_path / "out"), *arguments]
    done = CliRunner().invoke(app, given)
    assert isinstance(done.exception, UserError) and reason in str(done.exception)
    assert "\n" not in str(done.exception)
