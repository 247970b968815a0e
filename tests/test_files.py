"""Files are written whole or not at all."""

import os
from pathlib import Path

import pytest

from halluc.files import replacing, write_json, write_whole


def test_a_file_is_replaced_and_nothing_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "board.json"
    write_whole(path, "old")
    write_json(path, {"a": "é"})
    assert path.read_text() == '{\n  "a": "é"\n}\n'
    assert os.listdir(tmp_path) == ["board.json"]


def test_the_old_file_stays_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("the user's own text")

    def fill_the_disk() -> None:
        with replacing(path) as stream:
            stream.write(b"half of the")
            raise OSError(28, "disk full")

    with pytest.raises(OSError, match="full"):
        fill_the_disk()
    assert path.read_text() == "the user's own text"
    assert os.listdir(tmp_path) == ["README.md"]


def test_the_content_is_on_the_disk_before_it_takes_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, rename = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        steps.append("fsync")
        sync(descriptor)

    def replace(path: Path, to: Path) -> Path:
        steps.append("replace")
        return rename(path, to)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    write_whole(tmp_path / "a", "text")
    assert steps == ["fsync", "replace", "fsync"]


def test_a_lone_surrogate_is_written_as_a_question_mark(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", "Yes \ud83d")
    assert (tmp_path / "a").read_text() == "Yes ?"
