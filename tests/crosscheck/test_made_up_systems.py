"""A cross-check of systems whose answers are made up, so that what it has to find is known."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from halluc.benchmarks.glyph_chair import GlyphChair
from halluc.config import DecodingConfig
from halluc.crosscheck import running
from halluc.crosscheck.asking_systems import Place, SaidBySystems
from halluc.crosscheck.crosscheck_config import CrossCheckConfig
from halluc.crosscheck.running import CrossCheck, run_crosscheck
from halluc.crosscheck.systems import System
from halluc.errors import UserError
from halluc.leaderboard import collect
from halluc.leaderboard.board_file import write_board
from halluc.store import RunFolder, Scored, find_scored
from halluc.store.kept_runs import superseded
from halluc.types import Sample
from halluc.validation import checked
from tests.kit.runs import write_run

ERRORS = {"baseline": 0.3, "vhr": 0.5, "paint": 0.8, "dola": 1.0}
"""The share of descriptions with two objects that are not there, by method."""
LIMIT = 12


def made(folder: Path, system: System, error: float, seed: int | None = None) -> Scored:
    decoding = None if seed is None else DecodingConfig(do_sample=True, seed=seed)
    run = write_run(
        folder,
        system.method,
        error,
        LIMIT,
        ("glyph_chair",),
        seed=seed or 0,
        model=system.model,
        decoding=decoding,
    )
    (scored,) = find_scored(run)
    return scored


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def found(runs: Path) -> CrossCheck:
    """Four methods of a model and one of another, checked against both models."""
    names = [f"org/model:{method}" for method in ERRORS]
    config = checked(
        CrossCheckConfig,
        {
            "targets": ",".join([*names, "org/other"]),
            "evidence": "org/model,org/other",
            "limit": LIMIT,
            "samples_per_model": 2,
        },
        "crosscheck",
    )
    benchmark = GlyphChair()
    truth = {sample.image_id: benchmark.truth(sample.target) for sample in benchmark.samples(LIMIT)}

    def described(config: CrossCheckConfig, place: Place) -> SaidBySystems:
        return SaidBySystems(
            {one: made(runs, one, ERRORS[one.method]) for one in config.targets},
            {
                one: [made(runs / "crosscheck", one, 0.0, seed) for seed in range(2)]
                for one in config.evidence
            },
        )

    def asked(
        config: CrossCheckConfig, questions: Sequence[Sample], place: Place
    ) -> dict[System, dict[str, str]]:
        """One model sees what is there, the other affirms everything."""
        seeing = {
            q.id: "Yes." if q.id.rpartition("/")[2] in truth[q.image_id] else "No."
            for q in questions
        }
        affirming = dict.fromkeys(seeing, "Yes.")
        return dict(zip(config.evidence, (affirming, seeing), strict=True))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(running, "described", described)
        patched.setattr(running, "asked_implicitly", asked)
        return run_crosscheck(config, Place(runs), draws=500)


def score(found: CrossCheck, system: str, name: str) -> float:
    (value,) = (one.scores[name].value for one in found.targets if str(one.system) == system)
    return value


def test_only_other_models_are_the_same_evidence_for_all_methods(found: CrossCheck) -> None:
    """The model that affirms everything says nothing is wrong, so who it checks looks better."""
    for system in ("org/model", "org/model:vhr", "org/model:paint"):
        seen = score(found, system, "implicit_other_models")
        assert seen > 0
        assert score(found, system, "implicit_with_self") == pytest.approx(seen / 2)
    assert score(found, "org/model", "implicit_cross") == score(
        found, "org/model", "implicit_other_models"
    )
    assert score(found, "org/model", "implicit_self") == 0
    own = score(found, "org/model:vhr", "implicit_cross")
    assert own == pytest.approx(score(found, "org/model:vhr", "implicit_other_models") / 2)
    assert score(found, "org/other", "implicit_cross") == 0


def test_evidence_that_sees_ranks_as_chair_does(found: CrossCheck) -> None:
    for kind in ("explicit", "implicit"):
        (one,) = (
            one.found
            for one in found.correlations
            if (one.score, one.model) == (f"{kind}_other_models", "org/model")
        )
        assert one.n == 4
        for interval in (one.spearman, one.kendall):
            assert interval.value == pytest.approx(1) and interval.low > 0.3
    assert {one.model for one in found.correlations} == {None, "org/model"}  # the other is alone


def test_boards_compare_methods_by_what_other_models_say(found: CrossCheck, runs: Path) -> None:
    rows = {(row.model, row.method): row for row in collect([runs]).rows}
    row = rows["org/model", "paint"]
    assert row.crosscheck is not None
    assert row.crosscheck.counted == "other_models"
    for kind in ("explicit", "implicit"):
        shown = getattr(row.crosscheck, kind)
        assert shown.value == score(found, "org/model:paint", f"{kind}_other_models")
        assert shown.higher_is_better is False and shown.low < shown.value < shown.high
    assert rows["org/other", "baseline"].crosscheck is not None


def test_a_board_of_another_machine_brings_its_cross_checks(
    found: CrossCheck, runs: Path, tmp_path: Path
) -> None:
    write_board(collect([runs]), tmp_path / "board.json")
    checks = shutil.ignore_patterns("crosscheck*")
    shutil.copytree(runs, tmp_path / "runs", ignore=checks)
    assert not any(row.crosscheck for row in collect([tmp_path / "runs"]).rows)
    merged = collect([tmp_path / "runs", tmp_path / "board.json"])
    assert merged.rows and all(row.crosscheck for row in merged.rows)


def test_pruning_takes_the_cross_check_of_fewer_samples_along(
    found: CrossCheck, runs: Path, tmp_path: Path
) -> None:
    (file,) = runs.glob("*-paint-*/crosscheck_*.json")
    folder = shutil.copytree(file.parent, tmp_path / "run")
    run = RunFolder.read(folder)
    assert not list(superseded(run))
    (asked, samples), *_ = run.sample_sets()
    more = [*samples, replace(samples[0], id="more")]
    run.write_samples(asked.keyed(more), more)
    assert folder / file.name in set(superseded(run))


def test_a_judge_that_is_none_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    values = {"targets": "glyph", "evidence": "glyph", "judge": "gpt"}
    with pytest.raises(UserError, match="write endpoint:MODEL or local:MODEL"):
        run_crosscheck(checked(CrossCheckConfig, values, "crosscheck"), Place(tmp_path))
    assert not any(tmp_path.iterdir())
