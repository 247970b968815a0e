"""A sweep as it is asked for: everything wrong is said before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halluc.errors import UserError
from halluc.sweep.config_file import load_sweep
from halluc.sweep.sweep_config import SweepConfig

VAR: dict[str, Any] = {
    "method": "var",
    "sweep": ["keep=0.2,0.4,0.6", "rho=0.3:0.9:0.2"],
    "benchmarks": "glyph_pope,glyph_chair",
}


def test_a_grid() -> None:
    points = list(load_sweep(None, VAR).points())
    assert len(points) == 12
    assert points[:2] == [{"keep": 0.2, "rho": 0.3}, {"keep": 0.2, "rho": 0.5}]


def test_runs_are_ordinary_but_for_the_images() -> None:
    config = load_sweep(
        None, VAR | {"limit": 5, "gen_kwargs": "num_beams=3", "method_args": "tau=2"}
    )
    tune, test = (config.run(half, {"keep": 0.4}) for half in ("tune", "test"))
    assert tune.method.params == {"tau": 2, "keep": 0.4}
    assert tune.benchmark_args == {
        "glyph_pope": {"split": "tune"},
        "glyph_chair": {"split": "tune"},
    }
    assert test.benchmark_args == {}
    assert (test.limit, test.decoding.num_beams) == (5, 3)
    baseline = config.run("test")
    assert (baseline.method.name, baseline.decoding) == ("baseline", test.decoding)
    everything = load_sweep(None, VAR | {"tune_share": 0}).run("tune")
    assert everything.benchmark_args == {}


def test_a_file_says_the_same_and_options_win(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "method: var\nbenchmarks: [glyph_pope, glyph_chair]\nlimit: 7\n"
        "sweep:\n  keep: [0.2, 0.4, 0.6]\n  rho: 0.3:0.9:0.2\n"
    )
    typed = load_sweep(None, VAR | {"limit": 5})
    read = load_sweep(file, {"limit": 5})
    assert list(read.points()) == list(typed.points())
    assert read.run("tune", next(read.points())) == typed.run("tune", next(typed.points()))


def test_a_search_that_goes_on_is_the_same_sweep() -> None:
    searches = [load_sweep(None, VAR | {"search": "tpe", "trials": n}).hash for n in (5, 50)]
    assert searches[0] == searches[1] != load_sweep(None, VAR).hash


def test_the_goal() -> None:
    assert str(load_sweep(None, VAR).goal) == "glyph_pope.random/accuracy"
    config = load_sweep(
        None,
        VAR | {"objective": "glyph_chair.chair_i", "constraint": "glyph_chair.recall >= 0.7"},
    )
    assert config.goal.metric.higher_is_better is False
    (bound,) = config.bounds
    assert bound.excess(0.7) == 0
    assert bound.excess(0.6) == pytest.approx(0.1)
    assert bound.excess(float("nan")) == float("inf")
    (strict,) = load_sweep(None, VAR | {"constraint": "glyph_chair.chair_i<0.3"}).bounds
    assert strict.excess(0.3) > 0 > strict.excess(0.2)


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        ({"sweep": ["kep=0.2"]}, "unknown parameter 'kep'; did you mean 'keep'"),
        ({"sweep": ["keep=0.2,2"]}, "'keep': input should be less than or equal to 1, not 2"),
        ({"sweep": ["keep=much"]}, "'keep': input should be a valid number"),
        ({"sweep": ["keep=0.2:0.8"]}, "0.2:0.8 needs a step for a grid"),
        ({"sweep": []}, "nothing to sweep"),
        ({"sweep": ["keep=0:1:0.001", "rho=0:1:0.001"]}, "over 10000 points"),
        ({"method_args": "keep=0.4"}, "'keep' is both swept and held fixed"),
        ({"method": "vra"}, "unknown method 'vra'"),
        ({"method": "baseline"}, "unknown parameter 'keep'; it has none"),
        (
            {"objective": "glyph_chair.chair"},
            "reports no 'chair'; did you mean 'chair_i' or 'chair_s'",
        ),
        ({"objective": "glyph_mme.total"}, "'glyph_mme' is not run"),
        ({"objective": "glyph_chair.length"}, "neither direction of it is better"),
        ({"constraint": ["glyph_chair.recall"]}, "as in 'glyph_chair.recall>=0.7'"),
        ({"constraint": ["glyph_chair.recal>=0.7"]}, "did you mean 'recall'"),
        ({"seeds": "0,1"}, "add --gen-kwargs do_sample=true"),
        ({"gen_kwargs": "seed=1"}, "takes its seeds by --seeds"),
        ({"gen_kwargs": "beams=3"}, "unknown parameter 'beams'"),
        ({"limit": 0}, "'limit'"),
        ({"tune_share": 1.0}, "'tune_share'"),
        ({"search": "random"}, "'search': input should be 'grid' or 'tpe'"),
        ({"serch": "tpe"}, "unknown parameter 'serch'; did you mean 'search'"),
        ({"model_args": "device=gpu"}, "'device'"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], culprit: str) -> None:
    with pytest.raises(UserError) as error:
        load_sweep(None, VAR | change)
    assert culprit in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("method: var\nsweep: {keep: [0.2", "line 2: broken YAML"),
        ("- method", "a sweep is a mapping"),
        ("method: var\nsweep:\n  keep: 0.2\n  keep: 0.4\n", "'keep' is given twice"),
        ("method: var\nsweeps: {keep: 0.2}\n", "no --sweep; as in"),
        ("method: var\nsweep: {keep: 0.2}\nlimits: 3\n", "did you mean 'limit'"),
        ("", "no --method"),
    ],
)
def test_a_broken_file_is_named(text: str, culprit: str, tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        load_sweep(file, {})
    assert culprit in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="no such file"):
        load_sweep(tmp_path / "nowhere.yaml", {})


def test_what_is_checked_is_typed() -> None:
    config = SweepConfig(method="vhr", sweep={"layers": "0-2,2-4"}, seeds="3")
    assert [point["layers"] for point in config.points()] == [[0, 1], [2, 3]]
    assert config.run("tune").decoding.seed == 3
