"""A local model is known by every file that could change an answer, and by no other."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from halluc.errors import UserError
from halluc.models.fingerprint import folder_hash

COUNTS = (
    "model.safetensors", "pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "model.pt",
    "consolidated.00.pth", "last.ckpt", "weights.npz", "tokenizer.model", "merges.txt", "vocab.txt",
    "vocab.json", "qwen.tiktoken", "chat_template.jinja", "modeling_mine.py", "code/attention.py",
    "additional_chat_templates/short.jinja", "shards/model-00001.safetensors", "code/settings.json",
)  # fmt: skip
OTHER = (
    "README.md", "LICENSE", ".git/HEAD", ".cache/huggingface/x.json", "__pycache__/a.pyc",
    "runs/glyph_pope/config.json", "assets/figure.png", "train.log",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (*COUNTS, *OTHER):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return tmp_path


@pytest.mark.parametrize("name", COUNTS)
def test_a_change_of_what_a_model_is_made_of_changes_it(name: str, folder: Path) -> None:
    before = folder_hash(folder)
    (folder / name).write_text("changed")
    changed = folder_hash(folder)
    (folder / name).unlink()
    assert len({before, changed, folder_hash(folder)}) == 3


@pytest.mark.parametrize("name", OTHER)
def test_what_changes_no_answer_does_not_count(name: str, folder: Path) -> None:
    before = folder_hash(folder)
    (folder / name).write_text("changed")
    assert folder_hash(folder) == before


def test_the_same_bytes_under_other_names_are_another_model(tmp_path: Path) -> None:
    hashes = set()
    for number, (one, other) in enumerate((("ab", "c"), ("a", "bc"), ("abc", ""))):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "x.bin").write_text(one)
        (folder / "y.bin").write_text(other)
        hashes.add(folder_hash(folder))
        (folder / "y.bin").rename(folder / "z.bin")
        hashes.add(folder_hash(folder))
    assert len(hashes) == 6


def test_where_the_folder_lies_is_no_part_of_it(folder: Path) -> None:
    before = folder_hash(folder)
    moved = folder.rename(folder.with_name("moved"))
    assert folder_hash(moved) == before


def test_what_a_link_leads_to_counts_and_circles_end(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path.parent / f"{tmp_path.name}-blobs"
    elsewhere.mkdir()
    (elsewhere / "blob").write_text("one")
    (elsewhere / "more.py").write_text("one")
    (folder / "linked.safetensors").symlink_to(elsewhere / "blob")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "circle").symlink_to(folder)
    seen = {folder_hash(folder)}
    for name in ("blob", "more.py"):
        (elsewhere / name).write_text("two")
        seen.add(folder_hash(folder))
    assert len(seen) == 3


def test_large_files_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def whole(path: Path) -> bytes:
        raise MemoryError(path)

    (tmp_path / "model.safetensors").write_bytes(b"w" * 10**7)
    monkeypatch.setattr(Path, "read_bytes", whole)
    content = hashlib.sha256(b"w" * 10**7).digest()
    expected = hashlib.sha256(b"model.safetensors\0" + content).hexdigest()
    assert folder_hash(tmp_path) == expected[:10]


def test_a_file_that_cannot_be_read_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(
        UserError, match=r"^model file '.*' cannot be read: Permission denied; make"
    ):
        folder_hash(folder)
