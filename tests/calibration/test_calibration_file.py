"""A calibration file that cannot be read says what it is not, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from halluc.calibration.calibration_file import read
from halluc.errors import UserError


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe",
        b"",
        b"[]",
        b'{"model": 1}',
        b"[" * 100_000,
        b'{"params": {"a": ' + b"[" * 10_000,
    ],
    ids=["not-utf-8", "empty", "array", "wrong", "deep", "deep-params"],
)
def test_what_is_no_calibration_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"calibration\.json is not a calibration") as refused:
        read(file)
    assert "\n" not in str(refused.value)
