"""Files as anybody may have written or damaged them, for whatever reads files.

A reader gives a result that keeps its promise, or says in one line what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from halluc.errors import UserError

FEW, MANY = 50, 1000

HOSTILE = (
    "", "..", "../private.png", "/etc/hostname", "a\nb", "\x1b]0;pwn\x07", "\ud83d", "\u2028",
    "<!-- leaderboard:end -->", "9" * 5000, "x" * 5000, "[/] | =1+1", "\x00",
)  # fmt: skip
texts = st.sampled_from(HOSTILE) | st.text(max_size=20)
numbers = st.sampled_from([0, 1, -1, 2**70, 1e308]) | st.integers() | st.floats()
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@dataclass(frozen=True)
class Reader:
    """Something that reads files.

    Attributes:
        name: For the test's id.
        files: A valid folder: names and contents.
        damaged: The name of the file that is damaged.
        read: Reads the folder.
        promised: Whether a result is what the reader's docstring promises, whatever the file was.
        form: What the damaged file is: one JSON value, JSON lines, or some other text.
    """

    name: str
    files: Mapping[str, str | bytes]
    damaged: str
    read: Callable[[Path], Any]
    promised: Callable[[Any], bool]
    form: Literal["json", "lines", "text"] = "json"


def survives(reader: Reader, examples: int) -> None:
    """Read damaged files, and the whole one."""
    whole = reader.files[reader.damaged]
    whole = whole if isinstance(whole, bytes) else whole.encode()
    _read(reader, whole, must=True)

    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(damaged(whole, reader.form))
    def check(content: bytes) -> None:
        _read(reader, content)

    check()


def _read(reader: Reader, content: bytes, must: bool = False) -> None:
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name) / "data"
        patch.setenv("HALLUC_CACHE", str(Path(name) / "cache"))
        for file, valid in {**reader.files, reader.damaged: content}.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(valid if isinstance(valid, bytes) else valid.encode())
        try:
            result = reader.read(folder)
        except UserError as error:
            said = str(error)
        else:
            assert reader.promised(result), result
            return
    assert said.isprintable(), repr(said)
    assert not must, said


def damaged(whole: bytes, form: str) -> st.SearchStrategy[bytes]:
    """Draw a file: anything, any JSON, the valid one cut, overwritten, or changed in one place."""
    anything = st.binary(max_size=60) | values.map(_dumped)
    torn = st.integers(0, len(whole)).map(lambda end: whole[:end])
    overwritten = st.tuples(st.integers(0, len(whole)), st.binary(max_size=4)).map(
        lambda drawn: whole[: drawn[0]] + drawn[1] + whole[drawn[0] + len(drawn[1]) :]
    )
    if form == "text":
        return anything | torn | overwritten | _relined(whole)
    lines = form == "lines"
    valid = [json.loads(line) for line in whole.splitlines()] if lines else json.loads(whole)
    return (
        anything
        | torn
        | overwritten
        | _changed(valid).map(
            lambda value: b"\n".join(map(_dumped, value)) if lines and value else _dumped(value)
        )
    )


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


@st.composite
def _relined(draw: st.DrawFn, whole: bytes) -> bytes:
    """Leave out a line, or write one twice or over."""
    lines = whole.split(b"\n")
    at = draw(st.integers(0, len(lines) - 1))
    other = draw(texts).encode(errors="surrogatepass")
    lines[at : at + 1] = draw(st.sampled_from([[], [lines[at]] * 2, [other]]))
    return b"\n".join(lines)


@st.composite
def _changed(draw: st.DrawFn, valid: Any) -> Any:
    """Change one place: leave it out, write it twice, or put something else there."""
    value = json.loads(json.dumps(valid))
    *path, last = draw(st.sampled_from(list(_places(value))))
    inner = reduce(lambda part, key: part[key], path, value)
    change = draw(st.sampled_from(["drop", "twice", "rename", "replace", "replace"]))
    if change == "drop":
        del inner[last]
    elif change == "twice" and isinstance(inner, list):
        inner.insert(last, inner[last])
    elif change == "rename" and isinstance(inner, dict):
        inner[draw(texts)] = inner.pop(last)
    else:
        inner[last] = draw(values)
    return value


def _places(value: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the path to everything inside a value."""
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in inside:
        yield (key,)
        yield from ((key, *rest) for rest in _places(inner))
