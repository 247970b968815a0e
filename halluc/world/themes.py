"""The kinds of place, and how often each category is found there.

The tables give the world its priors: at each place a few categories are in most pictures, many
are in some, and all others are rare.
"""

from __future__ import annotations

from dataclasses import dataclass

from halluc.world.catalog import NAMES


@dataclass(frozen=True)
class Theme:
    """A kind of place.

    Attributes:
        name: Its name in captions, such as "living room".
        weight: Its share of all scenes, before normalising.
        odds: For each category found there, the chance that a scene has at least one.
    """

    name: str
    weight: float
    odds: dict[str, float]


_TABLE = """
street       | 1.5 | car .85, person .80, traffic light .50, truck .38, bus .38, bicycle .32, motorcycle .28, stop sign .22, fire hydrant .22, handbag .24, backpack .18, umbrella .12, dog .12, bench .12, train .06, bird .06
kitchen      | 1.2 | dining table .55, chair .50, cup .58, bowl .55, bottle .50, oven .55, refrigerator .50, sink .50, microwave .40, person .35, banana .22, apple .22, vase .12, cake .12, wine glass .18, potted plant .12
living room  | 1.2 | couch .75, tv .65, chair .50, potted plant .42, book .48, vase .35, clock .30, cat .28, dog .18, teddy bear .22, person .40, laptop .20, cup .22, dining table .30, bottle .12
dining room  | 1.0 | dining table .85, chair .80, wine glass .55, bottle .50, cup .45, bowl .42, cake .40, person .55, vase .35, potted plant .25, apple .15, banana .14, clock .14, cat .08
farm         | 0.9 | cow .60, sheep .58, horse .58, person .42, truck .35, dog .32, bird .35, bench .10, cat .14, apple .10, bicycle .06
beach        | 0.9 | person .80, surfboard .60, umbrella .50, boat .50, kite .35, bird .38, dog .22, sports ball .28, chair .28, backpack .18, handbag .18, bottle .16, airplane .08
park         | 1.0 | person .72, bench .65, dog .50, bicycle .38, bird .42, kite .30, sports ball .40, backpack .25, potted plant .12, umbrella .12, car .25, horse .08, teddy bear .06
office       | 0.9 | laptop .72, chair .75, person .55, cell phone .42, book .45, cup .50, dining table .42, potted plant .28, clock .35, backpack .25, tv .25, bottle .28, handbag .18
bathroom     | 0.6 | sink .85, toilet .80, bottle .48, cup .38, potted plant .28, vase .20, clock .10, chair .12, person .25, book .10, cat .14
bedroom      | 0.8 | bed .88, book .48, teddy bear .42, cell phone .32, clock .35, tv .30, chair .38, cat .30, person .38, laptop .28, potted plant .20, vase .18, backpack .20, handbag .15
ski slope    | 0.7 | person .88, skis .70, snowboard .55, backpack .38, bench .14, dog .12, truck .10, bird .14, umbrella .05
airport      | 0.6 | airplane .80, person .68, bus .48, truck .45, car .40, handbag .32, backpack .38, train .32, cell phone .14, bench .14, clock .12
"""  # noqa: E501


def _parse(line: str) -> Theme:
    name, weight, cells = (cell.strip() for cell in line.split("|"))
    odds = {}
    for cell in cells.split(", "):
        category, chance = cell.rsplit(" ", 1)
        if category not in NAMES:
            raise KeyError(f"theme {name!r}: {category!r} is not a category")
        odds[category] = float(chance)
    return Theme(name, float(weight), odds)


THEMES: tuple[Theme, ...] = tuple(_parse(line) for line in _TABLE.strip().splitlines())
"""Every theme."""

THEME: dict[str, Theme] = {theme.name: theme for theme in THEMES}
"""Themes by name."""

STRAY_ODDS = 0.012
"""The chance of a category that is not in the theme's table."""

SEVERAL_ODDS: dict[str, float] = {
    "person": 0.5, "car": 0.5, "chair": 0.5, "sheep": 0.55, "cow": 0.45, "bird": 0.4, "boat": 0.35,
    "book": 0.45, "cup": 0.4, "bottle": 0.4, "bowl": 0.3, "apple": 0.4, "banana": 0.2,
    "wine glass": 0.45, "horse": 0.3, "kite": 0.35, "umbrella": 0.3, "bicycle": 0.25,
    "traffic light": 0.35, "potted plant": 0.25, "surfboard": 0.3, "backpack": 0.2, "truck": 0.15,
    "dog": 0.2, "cat": 0.15, "skis": 0.2, "airplane": 0.25, "cell phone": 0.2, "bench": 0.2,
}  # fmt: skip
"""The chance that a category in a scene is there two, three or four times."""


def chance(theme: str, category: str) -> float:
    """Return the chance that a scene of a theme has a category at least once."""
    return THEME[theme].odds.get(category, STRAY_ODDS)
