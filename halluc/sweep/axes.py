"""Parameters that vary: "keep=0.2,0.4", "rho=0.3:0.9:0.2", "layers=0-8,8-16"."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from halluc.errors import UserError
from halluc.validation import literal, parts

MOST = 10_000
_NUMBER = r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER})(?::({_NUMBER}))?")
_SPAN = re.compile(r"(\d+)-(\d+)")


@dataclass(frozen=True)
class Axis:
    """A parameter and the values it may have.

    Attributes:
        name: The parameter, as in --method-args.
        values: What a grid takes, and a search chooses from.
        interval: Lowest and highest of a range without a step, for a search only; then `values`
            holds just these two.
    """

    name: str
    values: tuple[Any, ...]
    interval: tuple[float, float] | None = None

    @property
    def numeric(self) -> bool:
        """True if all values are numbers."""
        return all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values)

    @property
    def ordered(self) -> bool:
        """True if all values are numbers in rising order."""
        return self.numeric and list(self.values) == sorted(self.values)


def parse_axis(name: str, values: Any) -> Axis:
    """Read one axis.

    Args:
        values: A list of values, or text: values with commas between them, each a number, a word or
            JSON; a range start:stop:step with both ends; whole numbers from-to for parameters that
            hold layers or heads, where 0-8 stands for 0 to 7; or start:stop for a search.

    Raises:
        UserError: If there are no values, or too many.
    """
    texts = values if isinstance(values, list | tuple) else parts(str(values))
    if len(texts) == 1 and (match := _RANGE.fullmatch(str(texts[0]).strip())) and not match[3]:
        low, high = float(match[1]), float(match[2])
        if not low < high:
            raise UserError(f"--sweep {name}: {texts[0]} is an empty range")
        return Axis(name, (low, high), (low, high))
    choices = [value for text in texts for value in _values(name, text)]
    if not choices:
        raise UserError(
            f"--sweep {name}: no values; as in '{name}=0.2,0.4' or '{name}=0.2:0.8:0.2'"
        )
    return Axis(name, tuple({json.dumps(value): value for value in choices}.values()))


def parse_all(texts: list[str]) -> dict[str, str]:
    """Split ["keep=0.2,0.4", "rho=0.3"] into values by parameter.

    Raises:
        UserError: If one is not name=values, or a parameter is swept twice.
    """
    values: dict[str, str] = {}
    for text in texts:
        name, equals, choices = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise UserError(f"--sweep: {text!r} is not name=values, as in 'keep=0.2,0.4'")
        if name in values:
            raise UserError(f"--sweep: {name!r} is swept twice; give all its values at once")
        values[name] = choices
    return values


def _values(name: str, text: Any) -> list[Any]:
    if not isinstance(text, str):
        return [text]
    if match := _RANGE.fullmatch(text.strip()):
        return _stepped(name, *match.groups())
    if match := _SPAN.fullmatch(text.strip()):
        if not (numbers := list(range(int(match[1]), int(match[2])))):
            raise UserError(f"--sweep {name}: {text} is an empty range; 0-8 stands for 0 to 7")
        return [numbers]
    return [literal(text.strip())]


def _stepped(name: str, start: str, stop: str, step: str | None) -> list[float]:
    """List the numbers from one end of a range to the other, without binary noise."""
    text = f"{start}:{stop}" + (f":{step}" if step else "")
    if step is None:
        raise UserError(f"--sweep {name}: {text} needs a step, as in '{text}:0.1'")
    low, high, by = Decimal(start), Decimal(stop), Decimal(step)
    count = (high - low) / by if by else Decimal(-1)
    if count < 0:
        raise UserError(f"--sweep {name}: {text} is an empty range; start:stop:step goes upwards")
    if count >= MOST:
        raise UserError(f"--sweep {name}: {text} has over {MOST} values; take a larger step")
    return [_number(low + i * by) for i in range(int(count) + 1)]


def _number(value: Decimal) -> float:
    return int(value) if value == value.to_integral_value() else float(value)
