"""The drawn vocabulary: COCO categories with COCO's ids, and the colours icons come in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Category:
    """A COCO category as this world draws it.

    Attributes:
        name: COCO's own name, such as "dining table".
        id: COCO's own category id.
        supercategory: COCO's own supercategory.
        size: Typical height of its icon, as a share of the picture's height.
        top: The highest place its middle is drawn, as a share of the picture's height.
        bottom: The lowest such place.
    """

    name: str
    id: int
    supercategory: str
    size: float
    top: float
    bottom: float


_TABLE = """
person         |  1 | person     | .36 | .50 | .80
bicycle        |  2 | vehicle    | .28 | .58 | .85
car            |  3 | vehicle    | .28 | .58 | .85
motorcycle     |  4 | vehicle    | .26 | .58 | .85
airplane       |  5 | vehicle    | .26 | .08 | .30
bus            |  6 | vehicle    | .36 | .52 | .75
train          |  7 | vehicle    | .36 | .50 | .72
truck          |  8 | vehicle    | .36 | .52 | .78
boat           |  9 | vehicle    | .28 | .38 | .62
traffic light  | 10 | outdoor    | .28 | .22 | .50
fire hydrant   | 11 | outdoor    | .20 | .62 | .88
stop sign      | 13 | outdoor    | .28 | .35 | .60
bench          | 15 | outdoor    | .26 | .58 | .85
bird           | 16 | animal     | .15 | .10 | .75
cat            | 17 | animal     | .20 | .55 | .88
dog            | 18 | animal     | .23 | .58 | .88
horse          | 19 | animal     | .32 | .52 | .80
sheep          | 20 | animal     | .23 | .52 | .85
cow            | 21 | animal     | .30 | .52 | .82
backpack       | 27 | accessory  | .18 | .55 | .88
umbrella       | 28 | accessory  | .28 | .30 | .75
handbag        | 31 | accessory  | .16 | .55 | .88
skis           | 35 | sports     | .24 | .55 | .88
snowboard      | 36 | sports     | .22 | .55 | .88
sports ball    | 37 | sports     | .12 | .50 | .90
kite           | 38 | sports     | .20 | .08 | .35
surfboard      | 42 | sports     | .28 | .45 | .85
bottle         | 44 | kitchen    | .20 | .40 | .80
wine glass     | 46 | kitchen    | .18 | .40 | .80
cup            | 47 | kitchen    | .15 | .42 | .82
bowl           | 51 | kitchen    | .15 | .42 | .82
banana         | 52 | food       | .14 | .45 | .82
apple          | 53 | food       | .12 | .45 | .82
cake           | 61 | food       | .18 | .45 | .80
chair          | 62 | furniture  | .30 | .55 | .85
couch          | 63 | furniture  | .38 | .58 | .82
potted plant   | 64 | furniture  | .28 | .40 | .80
bed            | 65 | furniture  | .42 | .58 | .80
dining table   | 67 | furniture  | .36 | .60 | .85
toilet         | 70 | furniture  | .28 | .58 | .82
tv             | 72 | electronic | .28 | .25 | .55
laptop         | 73 | electronic | .20 | .42 | .80
cell phone     | 77 | electronic | .13 | .45 | .85
microwave      | 78 | appliance  | .20 | .28 | .55
oven           | 79 | appliance  | .32 | .52 | .75
sink           | 81 | appliance  | .24 | .48 | .68
refrigerator   | 82 | appliance  | .44 | .42 | .65
book           | 84 | indoor     | .14 | .30 | .85
clock          | 85 | indoor     | .17 | .12 | .40
vase           | 86 | indoor     | .19 | .35 | .80
teddy bear     | 88 | indoor     | .20 | .50 | .88
"""


def _parse(line: str) -> Category:
    name, number, supercategory, size, top, bottom = (cell.strip() for cell in line.split("|"))
    return Category(name, int(number), supercategory, float(size), float(top), float(bottom))


CATEGORIES: tuple[Category, ...] = tuple(_parse(line) for line in _TABLE.strip().splitlines())
"""Every category, in the order of COCO's ids."""

CATEGORY: dict[str, Category] = {category.name: category for category in CATEGORIES}
"""Categories by name."""

NAMES: tuple[str, ...] = tuple(CATEGORY)
"""The names alone, in the same order."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 45, 48),
    "orange": (240, 133, 32),
    "yellow": (246, 208, 56),
    "green": (62, 158, 74),
    "blue": (48, 104, 210),
    "purple": (140, 74, 178),
    "white": (242, 242, 240),
    "black": (44, 44, 50),
}
"""The eight colours an icon comes in, as RGB."""
