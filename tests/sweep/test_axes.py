"""What a user varies, read."""

from __future__ import annotations

from typing import Any

import pytest

from halluc.errors import UserError
from halluc.sweep.axes import parse_all, parse_axis


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ("0.2,0.4,0.6", (0.2, 0.4, 0.6)),
        ("0.3:0.9:0.2", (0.3, 0.5, 0.7, 0.9)),
        ("0:1:0.3", (0, 0.3, 0.6, 0.9)),
        ("-1:1:1", (-1, 0, 1)),
        ("0.1,0.5:0.7:0.1", (0.1, 0.5, 0.6, 0.7)),
        ("0.5,0.5,0.3:0.5:0.1", (0.5, 0.3, 0.4)),
        ("1e-6,1e-5", (1e-6, 1e-5)),
        ("0-3,3-5", ([0, 1, 2], [3, 4])),
        ("[0,2],[1]", ([0, 2], [1])),
        ('{"3":[0,5],"4":[1]},{"3":[1]}', ({"3": [0, 5], "4": [1]}, {"3": [1]})),
        ("paper,official_code", ("paper", "official_code")),
        ("true,false", (True, False)),
        ([0.1, "0.2:0.3:0.1", [4]], (0.1, 0.2, 0.3, [4])),
        (0.7, (0.7,)),
    ],
)
def test_values(given: Any, values: tuple[Any, ...]) -> None:
    axis = parse_axis("x", given)
    assert axis.values == values
    assert axis.interval is None


def test_a_range_without_a_step_is_an_interval() -> None:
    assert parse_axis("x", "0.1:0.9").interval == (0.1, 0.9)


@pytest.mark.parametrize(
    ("given", "culprit"),
    [
        ("", "no values"),
        ([], "no values"),
        ("0.9:0.1:0.2", "0.9:0.1:0.2 is an empty range"),
        ("0.1:0.9:-0.2", "is an empty range"),
        ("0.1:0.9:0", "is an empty range"),
        ("0.9:0.1", "is an empty range"),
        ("8-8", "8-8 is an empty range; 0-8 stands for 0 to 7"),
        ("0:1:1e-9", "has over 10000 values"),
        ("0.1:0.9,2", "0.1:0.9 needs a step"),
    ],
)
def test_what_is_no_axis_is_named(given: Any, culprit: str) -> None:
    with pytest.raises(UserError, match="--sweep x: ") as error:
        parse_axis("x", given)
    assert culprit in str(error.value)


def test_axes_as_typed() -> None:
    assert parse_all(["keep=0.2,0.4", "min-image-mass=0.1"]) == {
        "keep": "0.2,0.4",
        "min_image_mass": "0.1",
    }
    with pytest.raises(UserError, match="'keep' is swept twice"):
        parse_all(["keep=0.2", "keep=0.4"])
    with pytest.raises(UserError, match="'keep' is not name=values"):
        parse_all(["keep"])
