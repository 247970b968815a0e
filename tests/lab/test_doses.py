"""Dose and response: rules planted in answers are found again."""

from __future__ import annotations

import re
from collections import defaultdict
from types import SimpleNamespace

import pytest

from halluc.lab.base import Finding
from halluc.lab.dose_readings import first_tokens
from halluc.lab.doses import DOSES
from halluc.lab.experiments.dose import DoseResponse
from halluc.lab.questions import scenes
from halluc.types import Sample
from halluc.world.themes import chance
from tests.lab import made_up


class Words:
    """A tokenizer of words and signs, with a token for each half of "refrigerator"."""

    def __call__(self, text: str, **_: object) -> dict[str, list[tuple[int, int]]]:
        found = re.finditer(r"refrig|erator|\w+|[^\w\s]", text)
        return {"offset_mapping": [match.span() for match in found]}


def expecting(sample: Sample) -> str:
    """Affirm what is likely in the theme, there or not."""
    name = made_up.category(sample)
    if name is None:
        return made_up.truthful(sample)
    return "Yes" if chance(made_up.scene_of(sample).theme, name) >= 0.2 else "No"


def blind_to_faint(sample: Sample) -> str:
    """Affirm what is there unless it is drawn with little contrast."""
    if "contrast=0.15" in sample.image_id or "contrast=0.3" in sample.image_id:
        return "No"
    return made_up.truthful(sample)


def inventing(sample: Sample) -> str:
    """Name what is there, and in the end what is not."""
    return made_up.truthful(sample) + " There is a kite." * (made_up.category(sample) is None)


def row(finding: Finding, dose: str, method: str) -> dict[str, float]:
    (found,) = [r for r in finding.rows if (r["dose"], r["method"]) == (dose, method)]
    return found  # type: ignore[return-value]


def run(monkeypatch: pytest.MonkeyPatch, **rules: made_up.Rule) -> Finding:
    model = SimpleNamespace(processor=SimpleNamespace(tokenizer=Words()))
    return made_up.run(DoseResponse(), rules, monkeypatch, 20, model)


def test_who_tells_the_truth_has_no_response(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = run(monkeypatch, baseline=made_up.truthful)
    assert [r["dose"] for r in finding.rows] == [dose.name for dose in DOSES]
    for found in finding.rows:
        assert found["hallucination at least (%)"] == 0
        assert found["hallucination rise"] == pytest.approx(0)
        if found["dose"] != "length":
            assert found["recall at least (%)"] == 100
    assert finding.held == "did not hold"


def test_who_says_yes_to_all_has_no_response_either(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = run(monkeypatch, baseline=made_up.affirming)
    for dose in ("co-occurrence", "size", "contrast", "clutter"):
        found = row(finding, dose, "baseline")
        assert found["hallucination at least (%)"] == 100
        assert found["hallucination rise"] == pytest.approx(0)


def test_expectations_are_a_response_to_company_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = run(monkeypatch, baseline=made_up.truthful, prejudiced=expecting)
    company = row(finding, "co-occurrence", "prejudiced")
    assert company["hallucination rise_lo"] > 0
    assert company["hallucination rise - baseline_lo"] > 0
    for dose in ("size", "contrast", "clutter"):
        assert row(finding, dose, "prejudiced")["hallucination rise"] == pytest.approx(0)


def test_what_is_not_seen_when_faint_is_a_response_to_contrast_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finding = run(monkeypatch, baseline=made_up.truthful, weak=blind_to_faint)
    faint = row(finding, "contrast", "weak")
    assert faint["recall at least (%)"] == 0
    assert faint["recall rise - baseline_lo"] > 50
    assert row(finding, "size", "weak")["recall rise"] == pytest.approx(0)


def test_the_claim_holds_of_who_expects_and_drifts(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(sample: Sample) -> str:
        return inventing(sample) if made_up.category(sample) is None else expecting(sample)

    assert run(monkeypatch, baseline=both).held == "held"
    assert run(monkeypatch, baseline=expecting).held == "did not hold"


def test_all_levels_of_a_dose_ask_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for dose in DOSES:
        if dose.name in ("co-occurrence", "length"):
            continue
        asked: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
        for question in dose.ask(scenes(8, dose.least), dose.levels):
            asked[question.scene, question.level].append(question.sample.prompt)
            name = made_up.category(question.sample)
            if name is not None:
                there = name in made_up.scene_of(question.sample).categories
                assert question.sample.target == ("yes" if there else "no")
        for (scene, level), prompts in asked.items():
            assert prompts == asked[scene, 0], (dose.name, level)


def test_the_company_s_dose_compares_a_category_with_itself() -> None:
    (dose,) = [dose for dose in DOSES if dose.name == "co-occurrence"]
    sums: defaultdict[tuple[str | None, object], float] = defaultdict(float)
    for question in dose.ask(scenes(20), dose.levels):
        sums[made_up.category(question.sample), question.sample.target] += question.x
        there = made_up.category(question.sample) in made_up.scene_of(question.sample).categories
        assert (question.sample.target == "yes") == there
    assert len(sums) > 20
    assert all(abs(total) < 1e-9 for total in sums.values())


@pytest.mark.parametrize(
    ("tokens", "kept"),
    [(2, "a red"), (3, "a red "), (4, "a red refrigerator"), (5, "a red refrigerator."), (9, None)],
)
def test_a_word_that_is_cut_through_is_left_out(tokens: int, kept: str | None) -> None:
    text = "a red refrigerator. two"
    assert first_tokens(text, tokens, Words()) == (text if kept is None else kept)
