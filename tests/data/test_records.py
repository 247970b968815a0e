"""Records of files that somebody else wrote: what is wrong with one is said in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from halluc.data.pinned_files import recorded, verify
from halluc.data.records import Row, json_of, rows, table
from halluc.errors import UserError
from halluc.validation import key_values, shown

DEEP = "[" * 100_000
LONG = "9" * 5000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.json"


@pytest.mark.parametrize("content", [DEEP, '{"a":' * 100_000])
def test_too_deep_json_is_refused_in_one_line(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(UserError, match="nested too deeply") as refused:
        json_of(file, dict)
    assert "\n" not in str(refused.value)
    file.write_text('{"a": ' + DEEP)
    with pytest.raises(UserError, match=r"file.json line 1: JSON that is nested too deeply"):
        rows(file)


def test_numbers_of_too_many_digits_are_refused(file: Path) -> None:
    file.write_text('{"a": ' + LONG + "}")
    with pytest.raises(UserError, match="not JSON"):
        rows(file)
    assert Row("here", {"id": LONG}).id("id") == LONG
    with pytest.raises(UserError, match="not a whole number"):
        Row("here", {"id": LONG}).number("id")


@pytest.mark.parametrize("typed", [DEEP, LONG])
def test_a_typed_value_that_is_no_json_is_a_text(typed: str) -> None:
    assert key_values(f"keep={typed}", "--method-args") == {"keep": typed}


def test_errors_quote_values_on_one_short_line() -> None:
    row = Row("here", {"a\nb": ["x" * 10_000] * 1000})
    with pytest.raises(UserError, match=r"has no 'id', only a\\nb") as refused:
        row.id("id")
    assert "\n" not in str(refused.value)
    with pytest.raises(UserError, match="not an id") as refused:
        row.id("a\nb")
    assert len(str(refused.value)) < 3000 and "\n" not in str(refused.value)
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    assert shown(nested).startswith("[[[")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("a,a\n1,2\n", "two columns 'a'"),
        ("x" * 200_000 + "\n1\n", "field larger than field limit"),
        ("b\n1\n", "no column 'a', only b"),
        ('a,b\n1,"two and a ha', "line 2: ends within quotes; is it truncated"),
        ('a,b\n1,"two ""and"" a half\n2,three\n', "line 3: ends within quotes"),
    ],
)
def test_broken_tables_are_refused(file: Path, content: str, complaint: str) -> None:
    file.write_text(content)
    with pytest.raises(UserError, match=complaint):
        table(file, ("a",))


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"mme": 5}', b'{"mme": {"a": 5}}', b"\xff", DEEP.encode()]
)
def test_a_broken_record_of_first_use_is_named(cache: Path, content: bytes) -> None:
    cache.mkdir()
    (cache / "seen.json").write_bytes(content)
    for read in (lambda: recorded("pope_coco"), lambda: verify("mme", {"a": "b"})):
        with pytest.raises(UserError, match=r"remove .*seen\.json") as refused:
            read()
        assert "\n" not in str(refused.value)
    assert (cache / "seen.json").read_bytes() == content


def test_first_uses_are_recorded_under_no_shared_name(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: set[str] = set()
    replace = Path.replace

    def noted(self: Path, target: Path) -> Path:
        names.add(self.name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", noted)
    verify("mme", {"a": "b"})
    verify("pope", {"a": "c"})
    verify("pope", {"a": "c"})
    assert len(names) == 2
    assert json.loads((cache / "seen.json").read_text()) == {"mme": {"a": "b"}, "pope": {"a": "c"}}
    with pytest.raises(UserError, match="pope: a is d, was c when first used"):
        verify("pope", {"a": "d"})


def test_what_is_recorded_already_is_not_written_again(cache: Path) -> None:
    verify("mme", {"a": "b"})
    before = (cache / "seen.json").stat().st_ino
    verify("mme", {"a": "b"})
    assert (cache / "seen.json").stat().st_ino == before


def test_half_of_a_character_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    """JSON may escape one of two codes; nothing could write it down again."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": "\\ud83d\\ude00"}\n{"a": "\\ud83d"}\n')
    with pytest.raises(UserError, match=r"a\.jsonl line 2: has half of a character, \\ud83d; wr"):
        rows(path)
    path.write_text('{"a": "\\ud83d\\ude00"}')
    assert rows(path)[0]["a"] == json_of(path, dict)["a"] == "\N{GRINNING FACE}"
    path.write_text('{"\\udfff": 1}')
    with pytest.raises(UserError, match=r"a\.jsonl: has half of a character, \\udfff"):
        json_of(path, dict)
