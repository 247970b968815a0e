"""A cross-check of the embedded model, held against what its run folders say."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from halluc.benchmarks.glyph_chair import GlyphChair
from halluc.crosscheck.asking_systems import Place
from halluc.crosscheck.crosscheck_config import CrossCheckConfig
from halluc.crosscheck.crosscheck_page import write_page
from halluc.crosscheck.crosscheck_table import as_json, render
from halluc.crosscheck.running import CrossCheck, run_crosscheck
from halluc.errors import UserError
from halluc.leaderboard import collect
from halluc.leaderboard import render as board_tables
from halluc.leaderboard.markdown_tables import markdown
from halluc.store import RunFolder
from halluc.store.kept_runs import problems
from halluc.validation import checked
from tests.kit.fake_endpoint import FakeEndpoint, completion

PASSAGES = 2


def config(**values: Any) -> CrossCheckConfig:
    given = {
        "targets": "glyph,glyph:vhr,glyph:paint,glyph:dola",
        "evidence": "glyph,glyph:vhr",
        "limit": 3,
        "samples_per_model": PASSAGES,
    }
    return checked(CrossCheckConfig, given | values, "crosscheck")


def check(folder: Path, **values: Any) -> CrossCheck:
    return run_crosscheck(config(**values), Place(folder, Console(file=io.StringIO())), draws=200)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def found(runs: Path) -> CrossCheck:
    return check(runs)


def said(folder: Path, name: str, **decoding: Any) -> dict[str, str]:
    """What the run below a folder that is of this method and decoding answered, by sample."""
    for path in sorted(folder.glob("*/asker.json")):
        run = RunFolder.read(path.parent)
        same = run.asker.decoding.model_dump().items() >= decoding.items()
        if run.asker.method.name == name and same and run.answers_files("glyph_chair"):
            return {answer.id: answer.text for answer in run.answers("glyph_chair")}
    raise AssertionError(f"no run of {name} with {decoding}")


def test_scores_are_those_of_the_answers_on_disk(found: CrossCheck, runs: Path) -> None:
    """The explicit score once more, straight from the answers, without any function it uses."""
    named = GlyphChair().finder.find
    passages = {
        name: [
            said(runs / "crosscheck", name, do_sample=True, seed=seed) for seed in range(PASSAGES)
        ]
        for name in ("baseline", "vhr")
    }
    assert passages["baseline"][0] != passages["baseline"][1]  # drawn apart
    for target in found.targets:
        method = target.system.method
        verdicts: dict[str, list[float]] = {name: [] for name in passages}
        for id, text in said(runs, method, do_sample=False).items():
            for sentence in re.split(r"(?<=\.)\s+", text):
                if objects := set(named(sentence).nodes):
                    for name, texts in passages.items():
                        missing = [not objects <= set(named(p[id]).nodes) for p in texts]
                        verdicts[name].append(float(np.mean(missing)))
        mean = {name: np.mean(values) for name, values in verdicts.items()}
        others = [value for name, value in mean.items() if name != method]
        assert target.scores["explicit_cross"].value == pytest.approx(np.mean(others))
        assert target.scores["explicit_with_self"].value == pytest.approx(
            np.mean(list(mean.values()))
        )
        assert ("explicit_self" in target.scores) == (method in passages)
        if method in passages:
            assert target.scores["explicit_self"].value == pytest.approx(mean[method])
        assert target.sentences["explicit"] == len(verdicts["vhr"])


def test_evidence_answers_each_question_once(found: CrossCheck, runs: Path) -> None:
    (file, other) = (runs / "crosscheck").glob("*/answers_crosscheck.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len({line["id"] for line in lines}) == len(lines)
    assert all(re.fullmatch(r"Is there an? [a-z ]+ in the image\?", x["prompt"]) for x in lines)
    assert {line["id"] for line in lines} == {
        json.loads(line)["id"] for line in other.read_text().splitlines()
    }
    for target in found.targets:
        with_self, cross = (target.scores[f"implicit_{v}"].value for v in ("with_self", "cross"))
        assert 0 <= cross <= 1
        own = target.scores.get("implicit_self")
        assert with_self == pytest.approx(cross if own is None else (cross + own.value) / 2)


def test_targets_without_evidence_of_other_models_have_no_such_score(found: CrossCheck) -> None:
    assert not any("explicit_other_models" in target.scores for target in found.targets)


def answers_of(runs: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in runs.rglob("answers_*.jsonl")}


def test_a_second_command_asks_nothing_again(found: CrossCheck, runs: Path) -> None:
    before = answers_of(runs)
    assert as_json(check(runs)) == as_json(found)
    fewer = check(runs, targets="glyph", evidence="glyph", limit=2, samples_per_model=1)
    assert answers_of(runs) == before
    assert "explicit_cross" not in fewer.targets[0].scores  # nothing but itself
    assert fewer.targets[0].scores["explicit_self"].value >= 0


def test_the_published_code_sums_negates_and_keeps_the_target_in(
    found: CrossCheck, runs: Path
) -> None:
    official = check(runs, variant="official_code")
    assert official.higher_is_better and official.rule.key != found.rule.key
    for ours, theirs in zip(found.targets, official.targets, strict=True):
        for kind, factor in (("explicit", PASSAGES), ("implicit", 1)):
            expected = -factor * ours.scores[f"{kind}_with_self"].value
            assert theirs.scores[f"{kind}_cross"].value == pytest.approx(expected)
    assert as_json(check(runs)) == as_json(found)  # and boards show the paper's again


def test_correlations_are_of_the_scores_and_chair(found: CrossCheck) -> None:
    from scipy.stats import spearmanr

    (one,) = [c for c in found.correlations if (c.score, c.model) == ("explicit_cross", None)]
    x, y = (
        [target.scores[name].value for target in found.targets]
        for name in ("explicit_cross", "chair_i")
    )
    assert one.found.n == 4
    assert one.found.spearman.value == pytest.approx(spearmanr(x, y).statistic, nan_ok=True)
    for target in found.targets:
        assert target.scores["chair_i"].value == pytest.approx(
            target.scored.scores.values["chair_i"].value
        )
    assert not any(c.score.endswith("_self") and "with" not in c.score for c in found.correlations)


def test_boards_show_it(found: CrossCheck, runs: Path, tmp_path: Path) -> None:
    board = collect([runs], skip_unfinished=True)
    row = next(one for one in board.rows if one.method == "paint" and one.limit == 3)
    score = found.targets[2].scores["explicit_with_self"].value
    assert row.crosscheck is not None and row.crosscheck.explicit is not None
    assert row.crosscheck.explicit.value == score
    assert row.crosscheck.evidence == ["glyph", "glyph:vhr"]
    assert (row.crosscheck.samples_per_model, row.crosscheck.counted) == (PASSAGES, "with_self")
    console = Console(file=io.StringIO(), width=300)
    for table in board_tables(board):
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "crosscheck explicit ↓" in shown and f"{100 * score:.1f} [" in shown
    assert "| crosscheck explicit ↓ | crosscheck implicit ↓ |" in markdown(board)
    (file,) = runs.glob("*paint*/crosscheck_*.json")
    original = file.read_text()
    assert list(problems(RunFolder.read(file.parent))) == []
    try:
        file.write_text(original.replace('"temperature": 1.0', '"temperature": 0.5'))
        (problem,) = problems(RunFolder.read(file.parent))
        assert "was edited after it was written; remove it" in problem
        with pytest.raises(UserError, match="was edited"):
            collect([runs], skip_unfinished=True)
        file.unlink()
        rows = collect([runs], skip_unfinished=True).rows
        assert [one.method for one in rows if one.limit == 3 and not one.crosscheck] == ["paint"]
    finally:
        file.write_text(original)


def test_the_page_and_the_tables_say_what_was_found(found: CrossCheck, tmp_path: Path) -> None:
    write_page(found, tmp_path / "docs/page.md")
    page = (tmp_path / "docs/page.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| glyph")]
    assert [row.split(" | ")[0] for row in rows] == [
        "| glyph", "| glyph:vhr", "| glyph:paint", "| glyph:dola"
    ]  # fmt: skip
    value = found.targets[1].scores["explicit_cross"].value
    assert f"| {100 * value:.1f} [" in rows[1]
    assert "a sentence is supported by a passage if every object that it names" in page
    assert "Over 4 systems, Spearman's correlation: explicit " in page
    console = Console(file=io.StringIO(), width=200)
    for table in render(found):
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    assert "explicit, itself alone" in console.file.getvalue()


def test_a_judges_verdicts_are_kept(
    found: CrossCheck, runs: Path, cache: Path, endpoint: FakeEndpoint
) -> None:
    endpoint.respond = lambda body, number: (200, completion("No."))
    judged = check(runs, targets="glyph", judge="endpoint:m", limit=1)
    target = judged.targets[0]
    assert target.scores["explicit_with_self"].value == 1
    assert len(endpoint.requests) > 0
    assert all(one.body["max_tokens"] == 5 for one in endpoint.requests)
    (kept,) = runs.glob("glyph-baseline-*/judgements_endpoint_m.jsonl")
    asked = target.sentences["explicit"] * 2 * PASSAGES
    assert len(kept.read_text().splitlines()) == len(endpoint.requests) <= asked
    endpoint.requests.clear()
    again = check(runs, targets="glyph", judge="endpoint:m", limit=1)
    assert as_json(again) == as_json(judged) and not endpoint.requests
