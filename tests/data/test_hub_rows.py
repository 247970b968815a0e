"""Rows read from the hub without a copy, here from files of this machine in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from halluc.benchmarks import mmstar
from halluc.benchmarks.dash_b import DashB
from halluc.benchmarks.mmstar import MmStar
from halluc.data import hub_rows
from halluc.data.hub import Table
from halluc.data.hub_rows import FEW, UnfetchedTable
from halluc.data.pinned_files import recorded
from halluc.errors import UserError
from tests.benchmarks.hub import SHA, Hub, picture

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("cache")

COLUMNS = ("number",)


def rows(n: int = 7, image: str = "image") -> list[dict[str, Any]]:
    return [{"number": i, image: {"bytes": picture(i), "path": None}} for i in range(n)]


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub whose files are elsewhere on this machine, and a cache with nothing in it."""
    there = Hub(tmp_path / "there", monkeypatch)
    Hub(tmp_path / "cache of the hub", monkeypatch)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(
        hub_rows,
        "address",
        lambda repo, commit, pattern: str(there.snapshot(repo, commit) / pattern),
    )
    monkeypatch.setattr(hub_rows, "newest", lambda repo: SHA)
    return there


def shade(found: UnfetchedTable | Table, row: int) -> int:
    return found.image(row).getpixel((0, 0))[0]  # type: ignore[index]


def test_rows_and_images_are_those_of_a_copy(online: Hub) -> None:
    first = online.put("a/b", "data/x-0.parquet", rows(4))
    second = online.put("a/b", "data/x-1.parquet", rows())
    table = Table((first, second), COLUMNS, "image")
    found = UnfetchedTable("a/b", (str(first.parent / "x-*"),), COLUMNS, "image")
    assert found.rows == table.rows
    for row in (0, 1, 4, 10, 2, 2, 3, 0):  # forwards, back, again
        assert shade(found, row) == shade(table, row) == (row if row < 4 else row - 4)


def test_rows_in_order_are_read_once(online: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    path = online.put("a/b", "x.parquet", rows())
    found = UnfetchedTable("a/b", (str(path),), COLUMNS, "image")
    reads, read = list[Any](), found._read

    def counted(columns: Any) -> Any:
        reads.append(columns)
        return read(columns)

    monkeypatch.setattr(found, "_read", counted)
    assert [shade(found, row) for row in (0, 1, 1, 2, 5, 1)] == [0, 1, 1, 2, 5, 1]
    assert reads == [("image",)]


def test_another_column_of_images(online: Hub) -> None:
    path = online.put("a/b", "x.parquet", [{**rows()[0], "second": picture(9)}])
    found = UnfetchedTable("a/b", (str(path),), COLUMNS, "image").with_image("second")
    assert (found.rows, shade(found, 0)) == ([{"number": 0}], 9)


def test_what_cannot_be_read_is_one_line(online: Hub) -> None:
    path = online.put("a/b", "x.parquet", rows())
    with pytest.raises(UserError, match="a/b: cannot be read from the hub") as error:
        _ = UnfetchedTable("a/b", (str(path),), ("other",), "image").rows
    assert "\n" not in str(error.value)
    path.write_bytes(b"PAR1")
    with pytest.raises(UserError, match="a/b: cannot be read from the hub"):
        _ = UnfetchedTable("a/b", (str(path),), COLUMNS, "image").rows


def questions(n: int) -> list[dict[str, Any]]:
    return [
        {
            "object": "bench",
            "question": f"Can you see a {i}?",
            "answer": "no",
            "img_id": f"{i}.png",
            "question_id": i,
            "image": {"bytes": picture(i), "path": None},
        }
        for i in range(n)
    ]


def test_for_a_small_limit_nothing_is_fetched(online: Hub) -> None:
    online.put("YanNeu/DASH-B", "data/test-0.parquet", questions(4), SHA)
    samples = list(DashB().samples(2))
    assert [sample.image_id for sample in samples] == ["0.png", "1.png"]
    assert samples[1].load_image().getpixel((0, 0)) == (1, 0, 0)
    assert recorded("YanNeu/DASH-B") == {"revision": SHA}  # what is fetched later is this one
    assert isinstance(DashB.dataset.few("test", FEW), UnfetchedTable)


def test_a_pinned_revision_is_the_one_that_is_read(online: Hub) -> None:
    assert isinstance(MmStar.dataset.few("val", 1), UnfetchedTable)
    assert recorded(mmstar.REPO) == {"revision": mmstar.REVISION}


def test_a_copy_is_read_where_there_is_one(online: Hub, tmp_path: Path) -> None:
    copy = tmp_path / "cache of the hub/datasets--YanNeu--DASH-B"
    (copy / "refs").mkdir(parents=True)
    (copy / "refs/main").write_text(SHA)
    there = online.put("YanNeu/DASH-B", "data/test-0.parquet", questions(4), SHA)
    here = copy / "snapshots" / SHA / "data"
    here.mkdir(parents=True)
    assert hub_rows.unfetched("YanNeu/DASH-B", "data/test-*", (), "image", SHA, 2) is not None
    (here / there.name).write_bytes(there.read_bytes())
    assert hub_rows.unfetched("YanNeu/DASH-B", "data/test-*", (), "image", SHA, 2) is None


def test_many_images_are_fetched_and_so_is_nothing_without_a_network(
    online: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(limit: int | None) -> UnfetchedTable | None:
        return hub_rows.unfetched("a/b", "x", COLUMNS, "image", SHA, limit)

    assert found(FEW) is not None
    assert found(FEW + 1) is None
    assert found(None) is None
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert found(1) is None
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(hub_rows, "find_spec", lambda name: None)
    assert found(1) is None  # without `datasets`


def test_another_commit_than_the_first_is_refused(
    online: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_rows.unfetched("a/b", "x", COLUMNS, "image", "", 1)
    monkeypatch.setattr(hub_rows, "newest", lambda repo: "f" * 40)
    assert hub_rows.unfetched("a/b", "x", COLUMNS, "image", "", 1) is not None  # the recorded one
    assert recorded("a/b") == {"revision": SHA}
    with pytest.raises(UserError, match="a/b: revision is ffffffffffff, was 0123456789ab when"):
        hub_rows.unfetched("a/b", "x", COLUMNS, "image", "f" * 40, 1)


def test_addresses() -> None:
    assert hub_rows.address("a/b", SHA, "data/x-*") == f"hf://datasets/a/b@{SHA}/data/x-*"
