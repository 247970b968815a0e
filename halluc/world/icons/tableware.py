"""Icons of what stands on a table."""

from __future__ import annotations

from halluc.world.icons.pen import CREAM, GLASS, INK, LEAF, WOOD, Pen


def bottle(pen: Pen) -> None:
    """Draw a bottle with a label."""
    pen.box(43, 2, 57, 12, INK, 2)
    pen.poly(44, 12, 56, 12, 58, 30, 70, 42, 30, 42, 42, 30, fill=pen.main)
    pen.box(30, 38, 70, 98, pen.main, 6)
    pen.box(30, 54, 70, 78, CREAM)


def wine_glass(pen: Pen) -> None:
    """Draw a glass of wine; the colour is the wine's."""
    pen.box(46, 52, 54, 90, GLASS)
    pen.oval(26, 86, 74, 98, GLASS)
    pen.pie(20, -34, 80, 62, 0, 180, GLASS)
    pen.pie(24, -14, 76, 58, 0, 180, pen.main)


def cup(pen: Pen) -> None:
    """Draw a cup with a handle."""
    pen.arc(60, 32, 98, 74, 270, 90, pen.dark, 9)
    pen.poly(10, 20, 78, 20, 70, 92, 18, 92, fill=pen.main)
    pen.oval(10, 12, 78, 30, pen.light)


def bowl(pen: Pen) -> None:
    """Draw a wide bowl."""
    pen.pie(2, -4, 98, 90, 0, 180, pen.main)
    pen.box(34, 86, 66, 94, pen.dark, 2)
    pen.oval(2, 32, 98, 54, pen.light)


def banana(pen: Pen) -> None:
    """Draw a banana."""
    pen.poly(
        10,
        22,
        20,
        16,
        28,
        44,
        48,
        60,
        76,
        58,
        94,
        44,
        98,
        52,
        84,
        76,
        56,
        86,
        28,
        76,
        12,
        50,
        fill=pen.main,
    )
    pen.line(18, 44, 34, 66, 58, 74, 82, 66, fill=pen.dark, width=3)
    pen.box(9, 12, 19, 22, INK, 2)


def apple(pen: Pen) -> None:
    """Draw an apple with a leaf."""
    pen.line(50, 30, 54, 8, fill=WOOD, width=5)
    pen.oval(54, 8, 80, 22, LEAF)
    pen.oval(10, 26, 60, 94, pen.main)
    pen.oval(40, 26, 90, 94, pen.main)
    pen.oval(30, 34, 70, 90, pen.main)
    pen.oval(20, 40, 34, 58, pen.light)


def cake(pen: Pen) -> None:
    """Draw a layered cake with a candle."""
    pen.box(47, 8, 53, 30, CREAM)
    pen.oval(46, 0, 54, 11, (250, 170, 50))
    pen.box(24, 28, 76, 56, pen.light, 4)
    pen.box(10, 54, 90, 88, pen.main, 4)
    for x in (18, 34, 50, 66, 82):
        pen.disc(x, 56, 7, CREAM)
    pen.oval(0, 84, 100, 96, CREAM)


def vase(pen: Pen) -> None:
    """Draw a vase of flowers."""
    for x, y in ((28, 14), (50, 8), (72, 14)):
        pen.line(50, 50, x, y, fill=LEAF, width=4)
        pen.disc(x, y, 8, (238, 120, 150))
    pen.box(38, 36, 62, 56, pen.dark, 2)
    pen.oval(22, 46, 78, 98, pen.main)
    pen.line(26, 72, 74, 72, fill=pen.light, width=5)


def potted_plant(pen: Pen) -> None:
    """Draw a potted plant; the colour is the pot's."""
    for x0, x1 in ((4, 44), (30, 70), (56, 96)):
        pen.oval(x0, 14 if x0 != 30 else 0, x1, 58, LEAF)
    pen.line(50, 20, 50, 64, fill=(40, 96, 48), width=4)
    pen.poly(24, 58, 76, 58, 68, 98, 32, 98, fill=pen.main)
    pen.box(20, 54, 80, 66, pen.dark, 2)
