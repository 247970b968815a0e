"""Methods as a program gives them."""

from __future__ import annotations

from typing import Any

import pytest

from halluc.config import MethodConfig
from halluc.errors import UserError
from halluc.interventions import REGISTRY, Method, MethodParams
from halluc.python_api.method_given import choose, choose_one, configs_of, findable


class Mine(Method):
    """A class that is not registered."""

    name = "mine"

    class Params(MethodParams):
        """One parameter."""

        strength: float = 1.0


class Nameless(Method):
    """A class without a name."""


def named(given: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(one.cls.name, one.values) for one in choose(given)]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("var", [("var", {})]),
        ("var, vhr", [("var", {}), ("vhr", {})]),
        ("vhr+var", [("vhr+var", {})]),
        (["var", "var"], [("var", {})]),
        ({"vhr": {"gain": 1.5}}, [("vhr", {"gain": 1.5})]),
        ({"vhr": {"gain": 1.5}, "var": {}}, [("vhr", {"gain": 1.5}), ("var", {})]),
        (
            ["var", {"vhr": {"gain": 1.5}}, {"vhr": {"gain": 2}}],
            [("var", {}), ("vhr", {"gain": 1.5}), ("vhr", {"gain": 2})],
        ),
        (Mine, [("mine", {})]),
        ({Mine: {"strength": 2.0}}, [("mine", {"strength": 2.0})]),
        ((), []),
    ],
)
def test_methods_are_given_in_many_ways(given: Any, wanted: list[Any]) -> None:
    assert named(given) == wanted


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("vra", "unknown method 'vra'"),
        ({"vhr": {"gian": 1}}, "unknown parameter 'gian'"),
        ({"vhr": 2}, "write them as a dictionary"),
        (3, "methods: 3 is none"),
        (dict, "is none; give a name"),
        (Nameless, "write @halluc.method('nameless') above it"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(given: Any, said: str) -> None:
    with pytest.raises(UserError) as raised:
        choose(given)
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_one_method_takes_parameters_next_to_it() -> None:
    assert choose_one({"vhr": {"gain": 1.5}}, {"layers": [1]}).values == {
        "gain": 1.5,
        "layers": [1],
    }
    with pytest.raises(UserError, match="parameter 'gain' is given twice"):
        choose_one({"vhr": {"gain": 1.5}}, {"gain": 2})
    with pytest.raises(UserError, match="give one; methods joined by"):
        choose_one("var,vhr", {})
    with pytest.raises(UserError, match="give one; methods joined by"):
        choose_one("", {})
    with pytest.raises(UserError, match="did you mean 'keep'"):
        choose_one("var", {"kep": 0.4})


def test_the_baseline_comes_first() -> None:
    names = [config.name for config in configs_of(choose("var,baseline"), baseline=True)]
    assert names == ["baseline", "var"]
    assert [c.name for c in configs_of(choose("var"), baseline=True)] == ["baseline", "var"]
    assert [c.name for c in configs_of(choose("var"), baseline=False)] == ["var"]
    assert configs_of([], baseline=False) == [MethodConfig()]


def test_a_class_is_found_by_name_as_long_as_it_is_needed() -> None:
    with findable(choose([Mine, "var+vhr"])):
        assert REGISTRY.get("mine") is Mine
    assert "mine" not in REGISTRY.names()


def test_a_class_does_not_take_the_name_of_another() -> None:
    class Var(Method):
        """Not the one that is published."""

        name = "var"

    with pytest.raises(UserError, match="another class of that name"), findable(choose(Var)):
        pass
