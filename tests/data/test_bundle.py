"""Bundles: what is packed is unpacked bit for bit, and a wrong one leaves nothing behind."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from halluc.data.bundle import MANIFEST, Manifest, pack, unpack
from halluc.errors import UserError
from tests.benchmarks.hub import picture
from tests.kit.command import halluc

ABOUT = Manifest(benchmark="r_bench", version=1, halluc="0.1.0")


def packed(folder: Path) -> tuple[Path, dict[str, bytes]]:
    content = {"folder/q.json": b"[1, 2]", "folder/images/a.png": picture(3), "empty": b""}
    files = {}
    for number, (name, raw) in enumerate(content.items()):
        files[name] = folder / str(number)
        files[name].write_bytes(raw)
    pack(folder / "bundle.tar", ABOUT, files)
    return folder / "bundle.tar", content


def member(name: str, raw: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> Any:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(raw), kind, link
    return info, raw


def wrong(folder: Path, files: list[dict[str, Any]] | Any, members: list[Any]) -> Path:
    """A bundle made by hand."""
    manifest = {**ABOUT.model_dump(), "files": files}
    path = folder / "wrong.tar"
    with tarfile.open(path, "w") as tar:
        for info, raw in [member(MANIFEST, json.dumps(manifest).encode()), *members]:
            tar.addfile(info, io.BytesIO(raw))
    return path


def said(name: str, raw: bytes = b"x") -> dict[str, Any]:
    return {"name": name, "size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


def test_what_is_packed_comes_back(tmp_path: Path) -> None:
    bundle, content = packed(tmp_path)
    manifest = unpack(bundle, tmp_path / "out")
    assert manifest.benchmark == "r_bench"
    found = {
        file.relative_to(tmp_path / "out").as_posix(): file.read_bytes()
        for file in (tmp_path / "out").rglob("*")
        if file.is_file()
    }
    assert found == content


def test_packing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first, _ = packed(tmp_path)
    before = first.read_bytes()
    assert packed(tmp_path)[0].read_bytes() == before


@pytest.mark.parametrize(
    "name", ["/etc/x", "../x", "a/../../x", "a//b", "./a", "a\\..\\x", "C:x", "", ".", "a\nb"]
)
def test_a_name_that_leaves_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    bundle = wrong(tmp_path, [said(name)], [member(name, b"x")])
    with pytest.raises(UserError, match="leads out of the folder"):
        unpack(bundle, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wrong.tar"]


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ([member("a", kind=tarfile.SYMTYPE, link="/etc/passwd")], "is a link, a device"),
        ([member("a", kind=tarfile.LNKTYPE, link="/etc/passwd")], "is a link, a device"),
        ([member("a", kind=tarfile.CHRTYPE)], "is a link, a device"),
        ([member("a", kind=tarfile.FIFOTYPE)], "is a link, a device"),
        ([member("a", kind=tarfile.DIRTYPE)], "is a link, a device"),
        ([member("a", b"xx")], "has 2 bytes, not 1"),
        ([member("a", b"x" * 10**6)], "has 1000000 bytes, not 1"),
        ([member("a", b"y")], "has another checksum"),
        ([member("a", b"x"), member("a", b"x")], "names once"),
        ([member("a", b"x"), member("b", b"x")], "'b', which its manifest does not name"),
        ([member("../b", b"x")], "'../b', which its manifest does not name"),
        ([], "lacks 'a'"),
    ],
)
def test_a_member_that_is_not_what_the_manifest_says_is_refused(
    members: list[Any], complaint: str, tmp_path: Path
) -> None:
    bundle = wrong(tmp_path, [said("a")], members)
    with pytest.raises(UserError) as refused:
        unpack(bundle, tmp_path / "out")
    assert complaint in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wrong.tar"]


@pytest.mark.parametrize(
    "files", [[said("a"), said("A")], [{"name": "a"}], {"a": 1}, [{**said("a"), "size": -1}]]
)
def test_a_wrong_manifest_is_refused(files: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="its manifest is wrong"):
        unpack(wrong(tmp_path, files, []), tmp_path / "out")


@pytest.mark.parametrize("kept", [0, 100, 511, 512, 1000, 2100, 3000])
def test_a_bundle_that_is_cut_short_is_refused(kept: int, tmp_path: Path) -> None:
    bundle, _ = packed(tmp_path)
    short = tmp_path / "short.tar"
    short.write_bytes(bundle.read_bytes()[:kept])
    with pytest.raises(UserError):
        unpack(short, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(UserError, match="is not a whole bundle"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    with pytest.raises(UserError, match="No such file"):
        unpack(tmp_path / "b.tar", tmp_path / "out")


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    bundle, _ = packed(tmp_path)
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="exists already"):
        unpack(bundle, tmp_path / "out")


def r_bench(folder: Path) -> Path:
    """R-Bench's files with six images and a file that nobody reads."""
    folder.mkdir()
    questions = [
        {"question_id": n, "image": f"{n}.png", "text": "Is it?", "label": "yes"} for n in range(6)
    ]
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    (folder / "image-level_filterd.json").write_text(lines)
    for subset in range(1, 6):
        ids = json.dumps(list(range(6)))
        (folder / f"nocaps_image-level_rel_ids_{subset}.json").write_text(ids)
    for number in range(6):
        (folder / f"{number}.png").write_bytes(picture(number))
    (folder / "notes.txt").write_text("not read")
    (folder / "6.png").write_bytes(picture(6))
    return folder


@pytest.mark.slow
def test_a_folder_benchmark_is_packed_with_the_images_asked_about(tmp_path: Path) -> None:
    folder = r_bench(tmp_path / "data")
    cache = {"HALLUC_CACHE": str(tmp_path / "cache")}
    done = halluc(
        *("data", "pack", "r_bench", "--output", "r.tar", "--limit", "2"),
        *("--benchmark-args", f"folder={folder}"),
        cwd=tmp_path,
        **cache,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "r_bench: looks for all its images, so all are packed\n"
    shutil.rmtree(folder)
    done = halluc("data", "unpack", "r.tar", "DATA", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    files = {file.name for file in (tmp_path / "DATA/folder").iterdir()}
    assert "image-level_filterd.json" in files and not {"notes.txt", "6.png"} & files
    assert {f"{n}.png" for n in range(6)} <= files  # R-Bench looks for all that it names
    variable, *command = done.stdout.split()
    assert command[:2] == ["halluc", "eval"]
    assert variable == f"HALLUC_CACHE={tmp_path / 'DATA/cache'}"
    done = halluc(
        *command[1:], cwd=tmp_path, OMP_NUM_THREADS="1", HALLUC_CACHE=variable.split("=")[1]
    )
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout


def test_what_has_no_files_cannot_be_packed(tmp_path: Path) -> None:
    done = halluc("data", "pack", "glyph_pope", "--output", "g.tar", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "halluc: glyph_pope: is drawn by halluc itself; there is nothing to pack\n"
    )
    done = halluc("data", "pack", "r_bench", "--output", "g.tar", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("halluc: r_bench: give a folder")
    assert not (tmp_path / "g.tar").exists()
