"""Where answers change, the engine's version changes too: stored answers would else be believed."""

from __future__ import annotations

import json

import pytest

from halluc.models import load_model
from halluc.provenance import library_versions
from tests.canary import FILE, asked_of


def test_answers_change_only_with_the_engine_version() -> None:
    kept = json.loads(FILE.read_text())
    if kept["versions"] != library_versions():  # which are in an answer's key themselves
        pytest.skip(f"written with {kept['versions']}")
    now = asked_of(load_model("glyph"))
    write = "then 'python -m tests.canary' writes the answers of now"
    assert now["engine"] == kept["engine"], f"ENGINE was changed: {write}"
    assert now["weights"] == kept["weights"], f"the embedded model was changed: {write}"
    before, after = kept["answers"], now["answers"]
    changed = [name for name in before if after.get(name) != before[name]]
    assert not changed, (
        f"the answers of {', '.join(changed)} changed: if that is meant, raise ENGINE in "
        f"halluc/provenance.py, so that no stored answer is taken for one of now; {write}"
    )
    assert after.keys() == before.keys(), f"methods came or went: {write}"
