from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from halluc.cli.app import app
from halluc.config import DecodingConfig
from halluc.data import pinned_files
from halluc.errors import UserError
from halluc.leaderboard.board import kind_of_decoding, of_decoding
from halluc.leaderboard.collecting import board_of, collect, find_runs
from halluc.leaderboard.formatting import costs, title
from halluc.leaderboard.gains_page import findings
from halluc.leaderboard.run_comparison import compare_runs
from halluc.recorded.fetching import get
from halluc.recorded.markdown_page import page
from halluc.recorded.paired import DETECTABLE, paired_records, recorded_only
from halluc.recorded.paired_figure import draw_pairs
from halluc.recorded.published_answers import PublishedFile, catalogue
from halluc.recorded.record_names import check_names
from halluc.recorded.runs import keep
from halluc.scoring.answer_files import AnswerFiles
from halluc.scoring.building import build
from halluc.statistics import compare_scored
from halluc.store import RunFolder, Scored, find_scored
from halluc.store.asker import Asker
from halluc.store.record import Record
from halluc.store.recorded_run import keep_recorded, recorded_asker
from halluc.store.rescoring_runs import rescore

LABELS = ["yes", "no", "yes", "no", "yes", "no"]


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def labels(folder: Path, images: int = 20) -> Path:
    questions = [
        {
            "question_id": 6 * image + n + 1,
            "image": f"{image}.jpg",
            "text": f"Q{n}?",
            "label": label,
        }
        for image in range(images)
        for n, label in enumerate(LABELS)
    ]
    return write(folder / "coco_pope_popular.json", questions)


def said(folder: Path, name: str, wrong: int, images: int = 20) -> Path:
    """Answers that are wrong in the first question of the first `wrong` images."""
    answers = []
    for image in range(images):
        for n, label in enumerate(LABELS):
            flipped = n == 0 and image < wrong
            right = {"yes": "no", "no": "yes"}[label] if flipped else label
            answers.append({"question": f"Q{n}?", "answer": right.capitalize()})
    return write(folder / f"{name}.json", answers)


def kept(
    folder: Path,
    name: str,
    wrong: int,
    method: str = "baseline",
    baseline: str = "",
    decoding: str | None = "greedy",
    model: str = "LLaVA",
    sha256: str = "",
) -> Scored:
    record = Record(
        name=name,
        source=f"{name}.json",
        sha256=sha256,
        decoding=decoding,
        baseline=baseline or name,
        caution="one seed",
    )
    files = AnswerFiles(said(folder, name, wrong), labels(folder))
    options = {"tables": "of CHAIR"}
    return keep(
        folder / "runs", record, model, method, DecodingConfig(), "pope_coco", files, options
    )


def test_a_run_of_recorded_answers_can_be_scored_compared_and_ranked(tmp_path: Path) -> None:
    theirs, ours = kept(tmp_path, "greedy", 12), kept(tmp_path, "ours", 2, "vcd", "greedy")
    assert ours.run.path.name == f"LLaVA-vcd-{ours.run.asker.key}"
    # 120 answers, of which 12 or 2 are wrong
    assert theirs.scores.values["accuracy"].value == pytest.approx(108 / 120)
    assert ours.scores.values["popular/accuracy"].value == pytest.approx(118 / 120)
    board = collect([tmp_path / "runs"])
    base, row = board.rows
    assert (base.method, row.method, row.baseline) == ("baseline", "vcd", base.key)
    assert row.differences["popular/accuracy"].value == pytest.approx(10 / 120)
    assert row.record is not None and row.record.caution == "one seed"
    assert "recorded" in title(row)
    assert dict(costs(row))["passes a sample"] == "-" and dict(costs(row))["ms a sample"] == "-"
    compared = compare_runs(ours.run.path, theirs.run.path)
    assert compared.differ_in == []
    (rescored,) = rescore(ours.run, {"protocol": "all"})
    assert {"official", "vcd", "repope"} <= rescored.scores.keys()
    assert all(
        scores.values["accuracy"].value == pytest.approx(118 / 120)
        for scores in rescored.scores.values()
    )


def test_what_was_scored_is_read_again_from_the_disk(tmp_path: Path) -> None:
    """A published file often holds one split of three: the others are not nothing of many."""
    first = kept(tmp_path, "greedy", 12)
    again = next(find_scored(RunFolder.read(first.run.path)))
    compared = compare_scored(again, again)
    assert compared.ours["accuracy"] == pytest.approx(108 / 120)
    assert "random/accuracy" not in compared.ours
    assert kept(tmp_path, "greedy", 12).scores == first.scores
    assert len(first.run.answers("pope_coco")) == 120


def test_published_questions_may_be_in_any_order(tmp_path: Path) -> None:
    one = kept(tmp_path, "greedy", 12)
    built = build("pope_coco")
    answers = built.read_answers(AnswerFiles(said(tmp_path, "ours", 2), labels(tmp_path)))
    record = Record(name="ours", source="", sha256="", baseline="greedy")
    asker = recorded_asker(record, "LLaVA", "vcd", DecodingConfig())
    other = keep_recorded(tmp_path / "runs", asker, built, answers[::-1], {})
    assert other.scores.key == one.scores.key


def test_pairs_are_of_the_record_that_is_named(tmp_path: Path) -> None:
    runs = [
        kept(tmp_path, "greedy", 12),
        kept(tmp_path, "ours", 2, "vcd", "greedy"),
        kept(tmp_path, "unlike", 11, "opera", "greedy", decoding=None),
        kept(tmp_path, "alone", 4, "vaf", "nothing"),
    ]
    pairs = paired_records(recorded_only(runs))
    assert [(p.ours.run.asker.method.name, p.alike) for p in pairs] == [
        ("vcd", True),
        ("opera", False),
    ]
    gap = pairs[0].differences["popular/accuracy"]
    assert gap.value == pytest.approx(10 / 120) and pairs[0].n == 120
    # exact McNemar: 10 mended, none broken: 2 / 2 ** 10
    assert pairs[0].right_wrong is not None
    assert pairs[0].right_wrong.exact == pytest.approx(2 / 2**10)
    assert gap.stderr is not None
    # 1.96 + 0.84 standard errors
    assert pairs[0].detectable("popular/accuracy") == pytest.approx(DETECTABLE * gap.stderr)
    assert pytest.approx(1.95996 + 0.84162, abs=2e-3) == DETECTABLE
    # headline metrics with a direction, of both pairs: Holm multiplies the least p by their number
    family = [
        found.differences[name]
        for found in pairs
        for name in ("popular/accuracy", "f1")
        if found.metrics[name].headline
    ]
    least = min(family, key=lambda found: found.p)
    assert least.holm == pytest.approx(len(family) * least.p)


def test_a_name_that_is_compared_with_is_one_record_of_the_same_model(tmp_path: Path) -> None:
    ours = kept(tmp_path, "ours", 2, "vcd", "greedy")
    other = kept(tmp_path, "greedy", 12, model="LLaVA-1.6")
    with pytest.raises(UserError, match=r"'greedy', which is of LLaVA-1\.6, not of LLaVA; import"):
        paired_records([ours, other])
    assert ours.run.asker.setting != other.run.asker.setting  # nor are they a pair on boards
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    twice = [kept(tmp_path / name, "greedy", 12, sha256=name) for name in ("a", "b")]
    with pytest.raises(UserError, match=r"is compared with 'greedy', and .* have that name; keep"):
        paired_records([ours, *twice])
    assert len(paired_records([ours, twice[0], twice[0]])) == 1


def test_names_are_checked_where_a_record_is_put_into_a_folder(tmp_path: Path) -> None:
    kept(tmp_path, "greedy", 12)
    with pytest.raises(UserError, match=r"--name 'greedy': .* and is of baseline on LLaVA; give"):
        kept(tmp_path, "greedy", 12, model="LLaVA-1.6")
    with pytest.raises(UserError, match=r"--name 'greedy': .* has that name"):
        kept(tmp_path, "greedy", 2, "vcd")

    def asker(model: str) -> Asker:
        record = Record(name="ours", source="", sha256="", baseline="any")
        return recorded_asker(record, model, "vcd", DecodingConfig())

    runs = tmp_path / "runs"
    check_names(runs, asker("LLaVA"), "greedy")
    check_names(runs, asker("LLaVA-1.5-7B"), "opera/llava-1.5/greedy")  # published
    for against, message in {
        "gredy": "'gredy': no record has that name, in .* there are greedy; put it there first",
        "ours": "is the record itself",
        "opera/llava-1.5/greedy": "is of LLaVA-1.5-7B, not of LLaVA; where that is one model",
    }.items():
        with pytest.raises(UserError, match=message):
            check_names(runs, asker("LLaVA"), against)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("llava-v1.5-7b.jsonl", "llava-v1.5-7b"),
        ("llava-v1.6-7b.jsonl.gz", "llava-v1.6-7b"),
        ("llava-v1.5-7b_POPE.xlsx", "llava-v1.5-7b_POPE"),
        ("samples_pope_2026-11-22T10-15-00.123456.jsonl", None),
        (".jsonl", ".jsonl"),
    ],
)
def test_a_record_is_named_after_its_file_without_what_that_ends_in(
    tmp_path: Path, file: str, name: str | None
) -> None:
    (tmp_path / file).write_text("{}")
    assert Record.of_file(tmp_path / file).name == (name or file.removesuffix(".jsonl"))


def test_importing_answers_prints_the_notes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = said(tmp_path, "ours", 2)
    with pytest.raises(SystemExit) as ended:
        app(
            ["recorded", "import", str(answers), "--benchmark", "pope_coco", "--model", "LLaVA",
             "--labels", str(labels(tmp_path)), "--output-dir", str(tmp_path / "runs")]
        )  # fmt: skip
    assert ended.value.code in (None, 0)
    (scored,) = [one for run in find_runs([tmp_path / "runs"]) for one in find_scored(run)]
    assert scored.scores.notes
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("ours: 120 answers") and printed[1:] == scored.scores.notes


def test_the_page_says_what_is_not_stated(tmp_path: Path) -> None:
    runs = [
        kept(tmp_path, "greedy", 12),
        kept(tmp_path, "ours", 2, "vcd", "greedy"),
        kept(tmp_path, "unlike", 11, "opera", "greedy", decoding=None),
    ]
    scored = recorded_only(runs)
    pairs = paired_records(scored)
    text = page(scored, pairs)
    assert "**+8.3 [+5.0, +11.7]**" in text and "found from" in text
    lines = [line for line in text.splitlines() if "opera" in line]
    assert "not stated" in lines[0] and "*unlike*" in lines[0]
    assert "one seed" in text and "none stated" in text
    assert "random/accuracy" not in text  # it was not asked
    draw_pairs(pairs, tmp_path / "pairs.png")
    assert (tmp_path / "pairs.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="no recorded run here"):
        draw_pairs([], tmp_path / "none.png")


def test_a_decoding_that_is_not_stated_is_none_on_boards(tmp_path: Path) -> None:
    runs = [kept(tmp_path, "greedy", 12), kept(tmp_path, "x", 3, "opera", "greedy", decoding=None)]
    board = board_of(runs)
    assert [kind_of_decoding(row) for row in board.rows] == ["greedy", "not stated"]
    assert "decoding not stated" in title(board.rows[1])
    assert len(of_decoding(board, "greedy").rows) == 1
    assert "opera" not in findings(board)


def test_the_catalogue_is_whole() -> None:
    entries = {entry.name: entry for entry in catalogue().answers}
    assert len(entries) == len(catalogue().answers) >= 29
    for entry in entries.values():
        assert entry.baseline is None or entries[entry.baseline].method == "baseline"
        assert (entry.baseline is None) == (entry.method == "baseline") or entry.name.startswith(
            "clearsight"
        )
        assert all(other in entries for other in entry.also_against)
        assert entry.model == entries[entry.baseline or entry.name].model
        assert all(catalogue().label_file(name).sha256 for name in entry.labels)
        assert (entry.decoding is None) == (entry.decoding_stated is None) or "clear" in entry.name
        assert entry.url.startswith("https://raw.githubusercontent.com/")
        assert len(entry.sha256) == 64 and len(entry.commit) == 40
    assert [entry.name for entry in catalogue().find(["opera/llava-1.5"])] == [
        "opera/llava-1.5/greedy",
        "opera/llava-1.5/beam5",
        "opera/llava-1.5/ours",
    ]
    with pytest.raises(UserError, match="no recorded answers 'oper'"):
        catalogue().find(["oper"])


def a_file(content: bytes) -> PublishedFile:
    return PublishedFile(
        name="some/answers",
        repository="https://github.com/owner/name",
        commit="0" * 40,
        path="log/answers.jsonl",
        licence=None,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
    )


def test_a_copy_is_told_by_its_checksum(tmp_path: Path, cache: Path) -> None:
    content = b'{"a": 1}\n'
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies/renamed.jsonl.gz").write_bytes(gzip.compress(content))
    (tmp_path / "copies/answers.jsonl").write_bytes(b"another")
    found = get(a_file(content), tmp_path / "copies")
    assert found.read_bytes() == content and found.is_relative_to(cache)
    with pytest.raises(UserError, match=r"has no copy of some/answers"):
        get(a_file(b"third"), tmp_path / "copies")


def test_another_file_than_was_published_is_refused(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(url: str, path: Path) -> None:
        assert url == f"https://raw.githubusercontent.com/owner/name/{'0' * 40}/log/answers.jsonl"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"changed")

    monkeypatch.setattr(pinned_files, "_download", download)
    with pytest.raises(UserError, match="not the pinned file"):
        get(a_file(b"published"))
