"""Names that were probably meant."""

from __future__ import annotations

import pytest

from halluc.errors import UserError
from halluc.interventions import REGISTRY
from halluc.suggestions import did_you_mean


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("vra", ("vhr", "var", "vti"), "did you mean 'var'?"),  # a swap is one edit
        ("vr", ("var", "vhr", "vcd"), "did you mean 'var' or 'vhr'?"),
        ("kep", ("keep", "rho"), "did you mean 'keep'?"),
        ("xyz", ("keep", "rho"), "it has keep, rho"),
        ("xyz", (), "it has keep, rho"),
    ],
)
def test_the_names_with_the_fewest_edits_are_offered(
    name: str, known: tuple[str, ...], hint: str
) -> None:
    assert did_you_mean(name, known, "it has keep, rho") == hint


def test_a_method_with_two_letters_swapped_is_found() -> None:
    with pytest.raises(UserError, match="unknown method 'vra': did you mean 'var'"):
        REGISTRY.get("vra")
