"""Files of lines: what is on the disk is read, what was cut or broken is reported and taken out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halluc import lines_file
from halluc.errors import UserError
from halluc.lines_file import appending, line_of, owner_of, read_lines, write_lines

RECORDS = [{"id": str(n), "text": f"It’s {n} \u2028 \x85 \ud83d 🐈"} for n in range(3)]


def written(path: Path, records: list[dict[str, Any]]) -> Path:
    with appending(path) as file:
        for record in records:
            file.append([record])
    return path


def records(path: Path) -> list[Any]:
    return [record for _, record in read_lines(path).records]


def test_any_text_survives(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", RECORDS)
    assert records(path) == RECORDS
    assert path.read_bytes().count(b"\n") == 3
    assert "🐈".encode() not in path.read_bytes()  # with half a character a line is ASCII
    assert "é".encode() in line_of({"a": "é"})


def test_a_missing_file_has_no_lines(tmp_path: Path) -> None:
    assert records(tmp_path / "none.jsonl") == []


def test_a_folder_in_its_place_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_lines(tmp_path)


@pytest.mark.parametrize("cut", range(len(line_of(RECORDS[2]))))
def test_a_last_line_torn_at_any_byte_costs_that_line_alone(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path / "a.jsonl", RECORDS)
    whole = path.read_bytes()
    torn = whole[: len(whole) - len(line_of(RECORDS[2])) + cut]
    path.write_bytes(torn)
    assert records(path) == RECORDS[:2]
    assert read_lines(path).torn is (cut > 0)
    said: list[str] = []
    with appending(path, report=said.append) as file:
        file.append(RECORDS[2:])
    assert path.read_bytes() == whole
    assert len(said) == (cut > 0)


def test_a_group_counts_once_its_last_line_is_there(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", RECORDS[:1])
    alone = path.read_bytes()
    with appending(path) as file:
        file.append(RECORDS)
    whole = path.read_bytes()
    assert records(path) == [RECORDS[0], *RECORDS]
    for end in range(len(alone), len(whole)):
        path.write_bytes(whole[:end])
        assert records(path) == RECORDS[:1]
        assert read_lines(path).torn is (end > len(alone))
    with appending(path):
        pass
    assert path.read_bytes() == alone


@pytest.mark.parametrize(
    "bad", [b"", b"garbage", b"[1]", b"123", b"null", b'"text"', b"\xff\xfe", b"\0\0", b"[" * 9999]
)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_broken_line_is_reported_and_taken_out(tmp_path: Path, bad: bytes, place: int) -> None:
    path = written(tmp_path / "a.jsonl", RECORDS)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:place], bad + b"\n", *lines[place:]]))
    assert read_lines(path).broken == [place + 1]
    assert records(path) == RECORDS
    said: list[str] = []
    with appending(path, report=said.append):
        pass
    assert path.read_bytes() == b"".join(lines)
    assert Path(f"{path}.broken").read_bytes() == bad + b"\n"
    assert f"line {place + 1}" in said[0]


def test_what_a_check_refuses_is_broken(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", [{"n": 1}, {"m": 2}, {"n": "x"}])
    assert read_lines(path, lambda r: 1 / int(r["n"])).broken == [2, 3]


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_no_bytes_raise(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    path.write_bytes(raw)
    found = read_lines(path)
    assert len(found.records) + len(found.broken) == raw.count(b"\n")
    with appending(path) as file:
        file.append([{"a": 1}])
    assert records(path) == [*(record for _, record in found.records), {"a": 1}]


def test_nan_is_refused_before_a_byte_is_written(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", RECORDS)
    before = path.read_bytes()
    with appending(path) as file, pytest.raises(ValueError, match="JSON"):
        file.append([{"a": 1}, {"a": float("nan")}])
    assert path.read_bytes() == before


def test_a_group_is_appended_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.jsonl", RECORDS)
    before, write = path.read_bytes(), os.write

    def half(descriptor: int, data: memoryview) -> int:
        if len(data) < 20:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[: len(data) // 2])

    with appending(path) as file:
        monkeypatch.setattr(os, "write", half)
        with pytest.raises(UserError, match=r"No space left on device.*goes on from there"):
            file.append(RECORDS)
        monkeypatch.undo()
    assert path.read_bytes() == before


def test_lines_are_on_the_disk_at_the_end_and_every_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    with appending(tmp_path / "a.jsonl") as file:
        synced.clear()
        for _ in range(50):
            file.append(RECORDS)
        assert len(synced) <= 1
        monkeypatch.setattr(lines_file, "SYNC_EVERY", -1.0)
        file.append(RECORDS)
        assert synced
        synced.clear()
    assert synced


def test_writing_a_whole_file_takes_one_step(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_lines(path, RECORDS)
    assert records(path) == RECORDS
    assert os.listdir(tmp_path) == ["a.jsonl"]


HOLD = """
import sys, time
from pathlib import Path
from halluc.lines_file import appending
with appending(Path(sys.argv[1])) as file:
    file.append([{"by": "the other"}])
    print("holding", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(path: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    return process


def test_one_writes_and_the_other_waits(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    said: list[str] = []
    with holder(path, 1.0) as other:
        assert str(other.pid) in (owner_of(path) or "")
        with appending(path, report=said.append) as file:
            assert other.poll() is not None or other.wait(2) == 0
            file.append([{"by": "me"}])
    assert f"process {other.pid} on " in said[0]
    assert [record["by"] for record in records(path)] == ["the other", "me"]
    assert owner_of(path) is None


def test_what_a_killed_writer_held_is_taken_over_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with holder(path, 60) as other:
        other.send_signal(signal.SIGKILL)
    assert Path(f"{path}.lock").exists()
    started = time.monotonic()
    with appending(path) as file:
        file.append([{"by": "me"}])
    assert time.monotonic() - started < 10
    assert len(records(path)) == 2


def test_a_writer_whose_file_was_taken_over_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_file, "LEASE", 0.3)
    path = tmp_path / "a.jsonl"
    with appending(path) as file:
        Path(f"{path}.lock").unlink()
        deadline = time.monotonic() + 10
        while file.lost is None and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(UserError, match="another process has taken it over"):
            file.append(RECORDS)
    assert records(path) == []


def test_many_writers_lose_and_double_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"

    def write(number: int) -> None:
        for turn in range(5):
            with appending(path) as file:
                file.append([{"by": number, "turn": turn}])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [(record["by"], record["turn"]) for record in records(path)]
    assert sorted(found) == [(by, turn) for by in range(4) for turn in range(5)]
    assert json.loads(path.read_text().splitlines()[0])["turn"] == 0


def test_a_read_only_folder_is_one_line(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        folder = Path("/proc/self")  # root writes anywhere else
    else:
        folder = tmp_path
        folder.chmod(0o500)
    with pytest.raises(UserError, match="cannot be written"), appending(folder / "a.jsonl"):
        pass
