"""The report in a real browser: what a reader does, and what hostile files cannot do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from halluc.config import DecodingConfig
from halluc.errors import UserError
from halluc.report.html_page import page, report_data, write_report
from halluc.store import find_scored
from tests.kit.runs import write_run
from tests.report.conftest import Opened

BENCHMARKS = ("glyph_chair", "glyph_pope", "glyph_mme")


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for method, error in (("baseline", 0.3), ("vcd", 0.1), ("vhr", 0.6), ("apc", 0.3)):
        write_run(folder, method, error, 8, BENCHMARKS)
    write_run(folder, "baseline", 0.4, 8, BENCHMARKS, decoding=DecodingConfig(do_sample=True))
    return folder


def methods(browser: Opened) -> list[str]:
    rows: list[str] = browser.page.eval_on_selector_all(
        "tbody th", "cells => cells.map((cell) => cell.firstChild.textContent)"
    )
    return rows


def test_the_board_is_sorted_and_filtered_with_baseline_and_control_on_top(
    browser: Opened, report: Path
) -> None:
    browser.open(report)
    assert methods(browser)[:1] == ["baseline"]
    browser.page.get_by_role("button", name="chair_i").click()
    down = methods(browser)
    assert down[:3] == ["baseline", "baseline", "apc"]
    browser.page.get_by_role("button", name="chair_i").click()
    up = methods(browser)
    assert up[:3] == ["baseline", "baseline", "apc"] and up[3:] == down[3:][::-1]
    assert "sort=chair_i" in browser.page.url
    browser.page.get_by_label("Method").fill("vc")
    assert methods(browser) == ["vcd"]
    browser.page.get_by_label("Method").fill("")
    browser.page.get_by_label("Decoding").select_option("sampling")
    assert methods(browser) == ["baseline"]
    browser.page.get_by_label("Benchmark").select_option("glyph_pope")
    assert browser.page.get_by_role("button", name="adversarial/accuracy").is_visible()


def test_samples_are_stepped_through_searched_and_linked_to(browser: Opened, report: Path) -> None:
    browser.open(report, "#samples")
    first = browser.page.text_content("#sample h3")
    browser.page.keyboard.press("j")
    second = browser.page.text_content("#sample h3")
    assert second != first and f"sample={second}" in browser.page.url
    address = browser.page.url
    browser.page.keyboard.press("k")
    assert browser.page.text_content("#sample h3") == first
    browser.page.goto("about:blank")
    browser.page.goto(address)
    browser.page.wait_for_selector("#sample h3")
    assert browser.page.text_content("#sample h3") == second
    assert browser.page.locator("#sample img").count() == 1
    assert browser.page.locator("#sample mark").count() > 0
    browser.page.keyboard.press("/")
    browser.page.keyboard.type("nothing has this in it")
    assert browser.page.text_content("#count") == "0 of 8 samples."
    assert "No sample is like that." in (browser.page.text_content("#sample") or "")


def test_filters_find_what_a_method_mended(browser: Opened, report: Path, runs: Path) -> None:
    scored = {
        one.run.asker.method.name: {a.id: a.right for i in one.images.values() for a in i.answers}
        for run in runs.iterdir()
        for one in find_scored(_folder(run))
        if one.name == "glyph_pope" and not one.run.asker.decoding.do_sample
    }
    mended = [
        id for id, right in scored["vcd"].items() if right and scored["baseline"][id] is False
    ]
    broken = [
        id for id, right in scored["vhr"].items() if not right and scored["baseline"][id] is True
    ]
    assert mended and broken
    browser.open(report, "#samples")
    browser.page.get_by_label("Benchmark").select_option(label="glyph_pope (official), 144 samples")
    browser.page.locator("select[name=by]").select_option(label="vcd, org/model, greedy decoding")
    browser.page.get_by_label("Show").select_option("mended")
    assert browser.page.text_content("#count") == f"{len(mended)} of 144 samples."
    browser.page.locator("select[name=by]").select_option(label="vhr, org/model, greedy decoding")
    browser.page.get_by_label("Show").select_option("broken")
    assert browser.page.text_content("#count") == f"{len(broken)} of 144 samples."


def _folder(path: Path) -> Any:
    from halluc.store import RunFolder

    return RunFolder.read(path)


def test_trade_offs_are_drawn_under_the_policy_and_follow_the_theme(
    browser: Opened, report: Path
) -> None:
    browser.open(report, "#tradeoffs")
    browser.page.wait_for_selector(".chart svg")
    ink = "getComputedStyle(document.body).backgroundColor"
    before = browser.page.evaluate(ink)
    browser.page.get_by_role("button", name="Switch to the dark theme").click()
    browser.page.wait_for_selector(".chart svg")
    assert browser.page.evaluate(ink) != before
    assert browser.page.locator(".chart svg").count() >= 5


@pytest.mark.parametrize("tab", ["board", "samples", "tradeoffs", "about"])
def test_no_serious_barrier_at_any_width(browser: Opened, report: Path, tab: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for width, dark in ((1280, False), (390, True)):
        browser.page.set_viewport_size({"width": width, "height": 800})
        browser.open(report, f"#{tab}")
        if dark:
            browser.page.get_by_role("button", name="Switch to the dark theme").click()
        found = [
            (one["id"], one["nodes"][0]["html"][:200])
            for one in axe.run(browser.page).response["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        assert not found
        wide = browser.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width


HOSTILE = [
    "<script>window.taken = 1</script>",
    "</script><script>window.taken = 1</script>",
    '"><img src=x onerror="window.taken=1">',
    "javascript:window.taken=1//",
    "<svg/onload=window.taken=1>",
    "\u202egnirts desrever \u2066",
    "{data} {scripts} {policy}",
    "\x00\x1b[31m\x07",
]


def hostile(value: Any, text: str) -> Any:
    """Put a text into every text of the page's data; what the page looks things up by stays one."""
    if isinstance(value, dict):
        return {key: hostile(inner, text) for key, inner in value.items()}
    if isinstance(value, list):
        return [hostile(inner, text) for inner in value]
    return f"{value} {text}" if isinstance(value, str) else value


def test_hostile_text_in_every_field_is_shown_as_text(
    browser: Opened, runs: Path, tmp_path: Path
) -> None:
    text = " ".join(HOSTILE)
    scored = [one for run in sorted(runs.iterdir()) for one in find_scored(_folder(run))]
    data = report_data(scored[:4], "title")
    kept = {name: data.pop(name) for name in ("charts", "pictures", "traces")}
    data = {**hostile(data, text), **kept}
    data["samples"][0]["samples"][0]["prompt"] = text
    data["samples"][0]["runs"][0]["answers"][0] = {"text": text * 500, "right": None}
    file = tmp_path / "hostile.html"
    file.write_text(page(data), encoding="utf-8")
    for tab in ("board", "samples", "about", "tradeoffs"):
        browser.open(file, f"#{tab}")
        assert browser.page.evaluate("window.taken") is None
        seen = browser.page.evaluate("document.body.innerText")
        assert not set(seen) & set("\x00\x1b\x07\u202e\u2066")
        assert (
            browser.page.locator("#main script, #main svg[onload], #main img[onerror]").count() == 0
        )
    browser.open(file, "#samples")
    assert browser.page.text_content("dd bdi") == shown(text)
    whole = browser.page.get_by_role("button", name="characters").first
    whole.click()
    browser.page.wait_for_timeout(50)
    longest = max(browser.page.locator(".answer p").all_text_contents(), key=len)
    assert len(longest) >= 500 * len(text) > 100_000


def shown(text: str) -> str:
    escaped = [f"⟨U+{ord(c):04X}⟩" if ord(c) < 32 or c in "\u202e\u2066" else c for c in text]
    return "".join(escaped)


def test_runs_of_no_kind_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run"):
        write_report([tmp_path], tmp_path / "report.html")


@pytest.mark.slow
def test_ten_thousand_samples_open_within_three_seconds(
    browser: Opened, runs: Path, tmp_path: Path
) -> None:
    scored = [one for run in sorted(runs.iterdir()) for one in find_scored(_folder(run))]
    data = report_data([one for one in scored if one.name == "glyph_chair"][:3], "many")
    small = json.loads(json.dumps(data))
    few = small["samples"][0]
    size = len(few["samples"])
    sizes = {}
    for with_pictures in (True, False):
        big = json.loads(json.dumps(small))
        many = big["samples"][0]
        many["samples"] = [
            {**few["samples"][n % size], "id": f"{n}", "image": f"image {n}"} for n in range(10_000)
        ]
        for one, source in zip(many["runs"], few["runs"], strict=True):
            one["answers"] = [
                {
                    **source["answers"][n % size],
                    "text": f"{n} " + source["answers"][n % size]["text"],
                }
                for n in range(10_000)
            ]
        pictures = list(small["pictures"].values())
        # no two pictures alike, so that nothing is packed away that would not be
        big["pictures"] = {
            f"image {n}": pictures[n % size][:-12] + f"{n:08d}AAA=" for n in range(10_000)
        } if with_pictures else {}  # fmt: skip
        file = tmp_path / f"{with_pictures}.html"
        file.write_text(page(big), encoding="utf-8")
        sizes[with_pictures] = file.stat().st_size
        browser.open(file, "#samples")
        opened = browser.page.evaluate("performance.now()")
        assert opened < 3000
        assert browser.page.text_content("#count") == "10000 of 10000 samples."
        assert browser.page.locator(".item").count() < 60
        browser.page.eval_on_selector("#list", "list => list.scrollTop = 56 * 9000")
        browser.page.wait_for_selector("#item9000")
    assert sizes[True] < 60e6
    assert sizes[False] < 15e6
