"""Icons of furniture and household appliances."""

from __future__ import annotations

from halluc.world.icons.pen import CREAM, GLASS, INK, STEEL, WOOD, Pen


def chair(pen: Pen) -> None:
    """Draw a kitchen chair."""
    for x in (22, 70):
        pen.box(x, 56, x + 8, 98, WOOD)
    pen.box(22, 4, 78, 48, pen.main, 6)
    pen.box(32, 14, 68, 38, pen.light, 4)
    pen.poly(18, 50, 82, 50, 90, 64, 10, 64, fill=pen.dark)


def couch(pen: Pen) -> None:
    """Draw a two-seat couch."""
    for x in (12, 80):
        pen.box(x, 80, x + 8, 90, INK)
    pen.box(12, 26, 88, 66, pen.main, 8)
    pen.box(18, 54, 50, 74, pen.light, 5)
    pen.box(50, 54, 82, 74, pen.light, 5)
    pen.box(10, 72, 90, 84, pen.dark, 3)
    pen.box(2, 44, 18, 84, pen.main, 7)
    pen.box(82, 44, 98, 84, pen.main, 7)


def bed(pen: Pen) -> None:
    """Draw a bed, side on."""
    pen.box(2, 18, 12, 90, WOOD, 2)
    pen.box(90, 48, 98, 90, WOOD, 2)
    pen.box(10, 58, 92, 80, CREAM, 3)
    pen.box(14, 44, 38, 60, CREAM, 6)
    pen.poly(36, 52, 92, 52, 92, 82, 30, 82, fill=pen.main)


def dining_table(pen: Pen) -> None:
    """Draw a table with a cloth."""
    for x in (14, 78):
        pen.box(x, 44, x + 8, 92, WOOD)
    pen.oval(2, 24, 98, 50, pen.light)
    pen.poly(4, 38, 96, 38, 90, 62, 74, 54, 58, 64, 42, 54, 26, 64, 10, 58, fill=pen.main)


def toilet(pen: Pen) -> None:
    """Draw a toilet, side on."""
    pen.box(10, 10, 40, 54, pen.main, 4)
    pen.box(6, 6, 44, 16, pen.light, 3)
    pen.poly(36, 92, 42, 62, 70, 62, 66, 92, fill=pen.dark)
    pen.pie(24, 16, 96, 86, 0, 180, pen.main)
    pen.oval(26, 44, 96, 58, pen.light)


def tv(pen: Pen) -> None:
    """Draw a wide television."""
    pen.line(40, 76, 34, 92, fill=INK, width=5)
    pen.line(60, 76, 66, 92, fill=INK, width=5)
    pen.box(2, 18, 98, 78, pen.main, 5)
    pen.box(9, 25, 91, 70, (64, 92, 116), 2)
    pen.poly(9, 70, 40, 25, 60, 25, 30, 70, fill=GLASS)


def microwave(pen: Pen) -> None:
    """Draw a microwave."""
    pen.box(2, 24, 98, 80, pen.main, 4)
    pen.box(9, 32, 66, 72, INK, 3)
    pen.box(72, 32, 92, 42, GLASS)
    for y in (50, 60, 70):
        pen.disc(82, y, 3.5, pen.dark)


def oven(pen: Pen) -> None:
    """Draw an oven with a hob."""
    for x in (18, 58):
        pen.box(x, 4, x + 24, 10, INK, 2)
    pen.box(8, 9, 92, 96, pen.main, 4)
    for x in (22, 40, 60, 78):
        pen.disc(x, 21, 5, INK)
    pen.box(18, 34, 82, 40, STEEL, 2)
    pen.box(18, 46, 82, 84, (92, 66, 58), 4)


def sink(pen: Pen) -> None:
    """Draw a wash basin with a tap."""
    pen.arc(44, 6, 72, 46, 180, 360, STEEL, 7)
    pen.box(43, 24, 50, 48, STEEL)
    pen.box(40, 70, 60, 98, pen.dark, 3)
    pen.pie(6, 10, 94, 84, 0, 180, pen.main)
    pen.box(2, 44, 98, 54, pen.light, 3)


def refrigerator(pen: Pen) -> None:
    """Draw a refrigerator with two doors."""
    pen.box(24, 2, 76, 96, pen.main, 5)
    pen.line(24, 36, 76, 36, fill=INK, width=3)
    pen.box(31, 16, 36, 30, STEEL)
    pen.box(31, 42, 36, 68, STEEL)
    pen.box(30, 95, 40, 99, INK)
    pen.box(60, 95, 70, 99, INK)
