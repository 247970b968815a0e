"""Attention and heads in a real browser: what a reader does, and what hostile files cannot do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from halluc.attend.geometry import Places
from halluc.attend.heat_maps import heat
from halluc.attend.trace_panel import Panel, panel_of, write_panel
from halluc.attend.tracing import Trace, trace
from halluc.errors import UserError
from halluc.leaderboard.collecting import find_runs
from halluc.report.head_records import head_maps
from halluc.report.html_page import page, report_data, write_report
from halluc.report.serving import ReportServer
from halluc.report.trace_records import traces_of
from halluc.store import find_scored
from tests.kit.asking import prepared
from tests.kit.families import llava, picture
from tests.kit.runs import write_run
from tests.report.conftest import Opened
from tests.report.test_report_page import HOSTILE

pytest.importorskip("altair")

TEXT = "a cat yes"


@pytest.fixture(scope="module")
def seen() -> Trace:
    model = llava()
    method = prepared("pai", model)
    return trace(model, picture(1, 48, 32), "is there a dog ?", method, TEXT)


@pytest.fixture(scope="module")
def panel(seen: Trace) -> Panel:
    return panel_of(seen, llava().processor.tokenizer)


def heads_file(folder: Path, **changed: Any) -> Path:
    rows = [
        {"layer": layer, "head": head}
        | {f"{name}{end}": layer + head / 10 for name in ("image", "loss") for end in ENDS}
        for layer in range(4)
        for head in range(4)
    ]
    content = {"model": "tiny-llava", "weights": "0", "scenes": 3, "because": "So.", "rows": rows}
    file = folder / "lab-heads-tiny.json"
    file.write_text(json.dumps(content | changed))
    return file


ENDS = ("", "_lo", "_hi")


@pytest.fixture(scope="module")
def runs(panel: Panel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs whose first two POPE samples are traced, an image of one's own, and a map of heads."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("baseline", "pai"):
        run = write_run(folder, name, 0.3, 1, ("glyph_pope",))
        for answer in run.answers("glyph_pope")[:2]:
            only = {"method": None} if name == "baseline" else {}
            made = panel.model_copy(update={"sample": answer.id, **only})
            write_panel(made, run.trace_file("glyph_pope", answer.key))
    write_panel(panel, folder / "photo" / "panel.json")
    heads_file(folder)
    return folder


def pressed(browser: Opened) -> str:
    found: str = browser.page.text_content(".words [aria-pressed=true]")
    return found


def test_words_are_stepped_through_and_linked_to(browser: Opened, report: Path) -> None:
    browser.open(report, "#samples")
    browser.page.wait_for_selector(".words button")
    assert browser.page.locator(".words button").all_text_contents() == TEXT.split()
    assert pressed(browser) == "a"
    browser.page.locator(".words button").first.focus()
    for _ in range(2):
        browser.page.keyboard.press("ArrowRight")
        browser.page.wait_for_timeout(150)
    assert pressed(browser) == "yes" and "word=2" in browser.page.url
    browser.page.get_by_label("Layer").select_option("1")
    browser.page.get_by_label("Head").select_option("3")
    browser.page.wait_for_timeout(150)
    address = browser.page.url
    assert "layer=1" in address and "head=3" in address
    browser.page.goto("about:blank")
    browser.page.goto(address)
    browser.page.wait_for_selector(".words button")
    assert pressed(browser) == "yes"
    assert browser.page.locator(".panels canvas").count() == 3  # before, after, difference
    browser.page.keyboard.press("j")  # the second sample is traced, too, the third is not
    browser.page.wait_for_selector(".words button")
    assert "word" not in browser.page.url
    browser.page.keyboard.press("j")
    assert browser.page.locator(".attention").count() == 0


def test_numbers_are_those_of_the_trace(browser: Opened, report: Path, seen: Trace) -> None:
    browser.open(report, "#attention?of= photo&word=1&layer=2&head=1&heat=alone")
    browser.page.wait_for_selector(".panels canvas")
    assert seen.method is not None
    cells = browser.page.locator("table.shares tbody td").all_text_contents()
    for column, one in enumerate((seen.baseline, seen.method)):
        exact = 100 * one.shares()[1, 2, 1]
        shown = [float(cell.removesuffix(" %")) for cell in cells[column::2]]
        assert shown == pytest.approx(exact, abs=0.051)
        assert one.lens is not None
    ranks = browser.page.locator("table.lens tbody td:nth-child(3)").all_text_contents()
    assert [int(rank) for rank in ranks] == seen.baseline.lens.rank[1].astype(int).tolist()  # type: ignore[union-attr]
    places = seen.baseline.places
    assert places is not None
    weights = seen.baseline.of_words()[1, 2, 1][: len(seen.baseline.image)][seen.baseline.image]
    exact_map = heat(weights, places, (384, 256)) * 48 * 32
    drawn = browser.page.evaluate(
        "traceLine(data.traces.index.at(-1).views.baseline).then((packed) => { const view = "
        "opened(packed); const map = density(view, weightsOf(view, mapsOf(view, 1, 2, 1)), "
        "[48, 32]); return [map.w, map.h, Array.from(map.values, (one) => isNaN(one) ? null : one)]"
        "; })"
    )
    assert drawn[:2] == [384, 256]
    shown_map = np.array(drawn[2], float).reshape(256, 384)
    assert (np.isnan(shown_map) == np.isnan(exact_map)).all()  # a crop leaves margins unseen
    assert np.nanmax(np.abs(shown_map - exact_map)) <= np.nanmax(exact_map) / 255


def test_overlapping_tiles_are_averaged_and_margins_left_white(
    browser: Opened, report: Path
) -> None:
    """Two tokens on the left half, of densities 2 and 4 there; nothing on the right."""
    browser.open(report)
    # weight .25 on a quarter of the image has density 1, .5 on it 2: the mean is 1.5
    values = browser.page.evaluate(
        "Array.from(density({boxes: [[0, 0, 4, 2], [0, 0, 4, 2], null]}, [.25, .5, 9], [8, 4])"
        ".values).map((value) => value === value ? value : null)"
    )
    whole = np.array(values, float).reshape(192, 384)
    assert (whole[:96, :192] == 1.5).all() and np.isnan(whole[96:]).all()
    boxes = np.array([[0, 0, 4, 2], [0, 0, 4, 2]], float)
    places = Places((8, 4), boxes)
    assert np.nanmax(heat(np.array([0.25, 0.5]), places) * 32) == 1.5


def test_heads_lead_to_what_they_look_at(browser: Opened, report: Path) -> None:
    browser.open(report, "#heads")
    browser.page.get_by_label("Shown").select_option("loss")
    browser.page.get_by_role("button", name="layer 2, head 3: 2.30").click()
    assert browser.page.text_content("#main h3") == "Head 3 of layer 2"
    links = browser.page.locator("#main li a")
    assert links.count() == 3  # two samples, and the image of one's own
    links.first.click()
    browser.page.wait_for_selector(".words button")
    assert browser.page.get_by_label("Layer").input_value() == "2"
    assert browser.page.get_by_label("Head").input_value() == "3"


@pytest.mark.parametrize("tab", ["attention", "heads?layer=1&head=1", "samples"])
def test_no_serious_barrier_at_any_width(browser: Opened, report: Path, tab: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for width, dark in ((1280, False), (390, True)):
        browser.page.set_viewport_size({"width": width, "height": 800})
        browser.open(report, f"#{tab}")
        if dark:
            browser.page.get_by_role("button", name="Switch to the dark theme").click()
        browser.page.wait_for_selector("#main table")
        violations = axe.run(browser.page).response["violations"]
        assert not [
            (one["id"], one["nodes"][0]["html"][:200])
            for one in violations
            if one["impact"] in ("serious", "critical")
        ]
        assert browser.page.evaluate("document.documentElement.scrollWidth") <= width


def test_hostile_text_in_traces_and_maps_is_shown_as_text(
    browser: Opened, runs: Path, panel: Panel, tmp_path: Path
) -> None:
    text = " ".join(HOSTILE)
    view = panel.baseline.model_dump() | {"method": text, "text": text, "words": [text] * 3}
    content = panel.model_dump() | {"model": text, "prompt": text * 500, "sample": text}
    content |= dict.fromkeys(("baseline", "method", "own"), view)
    (scored,) = find_scored(find_runs([runs])[0])
    write_panel(Panel(**content), tmp_path / "<img src=x onerror=alert(1)>" / "panel.json")
    heads_file(tmp_path, model=text, because=text, weights=text)
    file = tmp_path / "hostile.html"
    file.write_text(page(report_data([scored], "t", places=[tmp_path])), encoding="utf-8")
    for tab, waits in (("attention", ".words button"), ("heads?layer=0&head=0", "table.heads")):
        browser.open(file, f"#{tab}")
        browser.page.wait_for_selector(waits)
        assert browser.page.evaluate("window.taken") is None
        shown = browser.page.evaluate("document.body.innerText")
        assert "<script>window.taken = 1</script>" in shown
        assert not set(shown) & set("\x00\x1b\x07\u202e\u2066")
        hostile = "#main script, #main svg[onload], #main img[onerror]"
        assert browser.page.locator(hostile).count() == 0


def test_traces_of_one_s_own_need_no_run(browser: Opened, runs: Path, tmp_path: Path) -> None:
    write_report([runs / "photo"], tmp_path / "report.html")
    browser.open(tmp_path / "report.html")
    browser.page.wait_for_selector(".words button")
    assert browser.page.locator("#tabs a").all_text_contents() == ["Attention", "About"]


def test_traces_keep_to_their_budget(runs: Path) -> None:
    def made(budget: int, pictures: bool = True) -> Any:
        return traces_of([], [runs], 10, pictures, budget)

    whole = made(10**9)
    assert (len(whole.index), whole.averaged, whole.left_out) == (1, "", 0)
    size = sum(map(len, whole.lines))
    fewer = made(size - 1)
    assert (len(fewer.index), fewer.averaged) == (1, "heads")
    smaller = made(sum(map(len, fewer.lines)) - 1)
    assert (len(smaller.index), smaller.averaged) == (1, "heads and layers")
    none = made(100)
    assert (none.index, none.lines, none.left_out) == ([], [], 1)
    assert len(made(10**9, pictures=False).lines) == len(whole.lines) - 1
    scored = [one for run in find_runs([runs]) for one in find_scored(run)]
    shared = traces_of(scored, [], 10)
    assert len(shared.index) == 4 and len(shared.lines) == 3  # picture, baseline and method once
    assert len(traces_of(scored, [], 1).index) == 2


@pytest.mark.parametrize(
    "changed",
    [{"rows": []}, {"rows": [{"layer": 0, "head": 0}]}, {"scenes": "many"}, {"rows": 3}],
)
def test_a_broken_map_of_heads_is_named(tmp_path: Path, changed: dict[str, Any]) -> None:
    heads_file(tmp_path, **changed)
    if changed.get("rows") == [{"layer": 0, "head": 0}]:  # a head of which nothing was measured
        assert head_maps([tmp_path])[0]["quantities"] == []
        return
    with pytest.raises(UserError, match=r"lab-heads-tiny\.json: is not a map of heads"):
        head_maps([tmp_path])


def test_the_served_page_follows_traces(runs: Path, tmp_path: Path, panel: Panel) -> None:
    run = write_run(tmp_path, "baseline", 0.3, 1, ("glyph_pope",))
    with ReportServer([tmp_path]) as server:
        before = server.stamp()
        write_panel(panel, run.trace_file("glyph_pope", "0123456789"))
        assert server.stamp() != before


def test_a_picture_s_size_is_kept(panel: Panel, seen: Trace) -> None:
    import base64
    import io

    drawn = Image.open(io.BytesIO(base64.b64decode(panel.picture)))
    assert drawn.size == seen.image.size == panel.size
