from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from halluc.scoring import yes_no
from halluc.scoring.yes_no import MME, POPE, resolve

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = {
    "official": "official",
    "opera_pai": "opera",
    "repope": "repope",
    "lmms_pope": "lmms-eval",
    "vlmevalkit": "vlmevalkit",
}


@pytest.fixture(scope="module")
def probes(shared: Path) -> list[dict[str, Any]]:
    probes: list[dict[str, Any]] = json.loads(
        (shared / "golden/pope/parser_probes.json").read_text()
    )
    return probes


@pytest.mark.parametrize(("column", "protocol"), COLUMNS.items())
def test_probes_read_as_the_published_scorer_reads_them(
    probes: list[dict[str, Any]], column: str, protocol: str
) -> None:
    for probe in probes:
        want = str(probe[column]).lower()
        verdict = POPE[protocol].parse(probe["text"])
        for label in ("yes", "no"):
            read = resolve(verdict, label, POPE[protocol])
            assert (read or "none") == want.replace("unknown", "none"), probe["text"]


def test_probes_read_by_vcd_depend_on_the_label(probes: list[dict[str, Any]]) -> None:
    for probe in probes:
        for label in ("yes", "no"):
            verdict = resolve(POPE["vcd"].parse(probe["text"]), label, POPE["vcd"])
            assert verdict == probe[f"vcd_gold_{label}"].rstrip("*"), probe["text"]


@pytest.mark.parametrize(("column", "protocol"), [("mme", "official"), ("lmms_mme", "lmms-eval")])
def test_probes_read_by_mme(probes: list[dict[str, Any]], column: str, protocol: str) -> None:
    for probe in probes:
        assert (MME[protocol].parse(probe["text"]) or "other") == probe[column], probe["text"]


@pytest.mark.parametrize(
    ("text", "official", "opera", "vcd", "repope", "words", "mme"),
    [
        ("\nNo", "yes", "yes", "no", "no", "no", "no"),
        ("There isn't a dog.", "yes", "no", None, None, None, None),
        ("Yes. No cat though.", "yes", "no", "both", "yes", None, "yes"),
        ("Yes, it is not small.", "no", "no", "both", "yes", "yes", "yes"),
        ("I am not sure.", "no", "no", "no", "no", None, None),
        ("Answer: no", "no", "no", "no", "no", "no", None),
        ("no!", "yes", "yes", "no", "no", "no", "no"),
    ],
)
def test_selected_rows_of_the_specification(
    text: str, official: str, opera: str, vcd: str, repope: str, words: str, mme: str
) -> None:
    assert resolve(yes_no.parse_pope(text), "no", POPE["official"]) == official
    assert resolve(yes_no.parse_opera(text), "no", POPE["opera"]) == opera
    assert yes_no.parse_vcd(text) == vcd
    assert yes_no.parse_substring(text) == repope
    assert yes_no.parse_words(text) == words
    assert yes_no.parse_mme(text) == mme


def test_answers_that_say_neither_are_unparseable_even_where_the_default_is_yes() -> None:
    for text in ("", "There is a dog.", "There are none."):
        for name in ("official", "opera"):
            assert POPE[name].parse(text) is None
            assert resolve(None, "no", POPE[name]) == "yes"
    assert POPE["official"].parse("NO") is None


def test_mme_looks_at_four_characters_and_does_not_strip() -> None:
    assert yes_no.parse_mme("    yes") is None
    assert yes_no.parse_mme_lmms("    yes") == "yes"
    assert yes_no.parse_mme("know") == "no"
    assert yes_no.parse_mme_lmms("Y.") == "yes"


def test_vlmevalkit_removes_at_most_32_periods() -> None:
    assert yes_no.parse_words("." * 31 + "no.") == "no"
    assert yes_no.parse_words("." * 32 + "no.") is None
