"""Icons of people and animals."""

from __future__ import annotations

from halluc.world.icons.pen import CREAM, INK, LAMP, SKIN, STEEL, WOOD, Pen


def person(pen: Pen) -> None:
    """Draw a standing person; the colour is the shirt's."""
    pen.box(37, 60, 48, 98, (62, 74, 112), 3)
    pen.box(52, 60, 63, 98, (62, 74, 112), 3)
    pen.line(36, 36, 24, 62, fill=SKIN, width=7)
    pen.line(64, 36, 76, 62, fill=SKIN, width=7)
    pen.box(33, 29, 67, 66, pen.main, 9)
    pen.disc(50, 16, 13, SKIN)
    pen.pie(36, 2, 64, 28, 180, 360, (92, 60, 40))


def _legs(pen: Pen, xs: tuple[float, ...], top: float, width: float) -> None:
    for x in xs:
        pen.box(x, top, x + width, 94, pen.dark, 2)


def bird(pen: Pen) -> None:
    """Draw a small bird."""
    pen.line(46, 78, 44, 94, fill=LAMP, width=4)
    pen.line(56, 78, 58, 94, fill=LAMP, width=4)
    pen.poly(4, 42, 32, 46, 28, 64, fill=pen.dark)
    pen.oval(20, 34, 78, 82, pen.main)
    pen.disc(72, 32, 18, pen.main)
    pen.poly(88, 28, 100, 34, 87, 40, fill=(240, 150, 40))
    pen.disc(76, 28, 3.5, INK)
    pen.poly(30, 52, 62, 50, 44, 74, fill=pen.dark)


def cat(pen: Pen) -> None:
    """Draw a sitting cat with pointed ears and a tail."""
    pen.arc(58, 40, 98, 92, 270, 90, pen.dark, 8)
    pen.oval(22, 46, 76, 98, pen.main)
    pen.poly(24, 4, 44, 18, 26, 34, fill=pen.main)
    pen.poly(76, 4, 56, 18, 74, 34, fill=pen.main)
    pen.oval(22, 12, 78, 56, pen.main)
    for x in (38, 62):
        pen.disc(x, 32, 4.5, (120, 196, 90))
    pen.poly(46, 40, 54, 40, 50, 46, fill=(236, 130, 140))


def dog(pen: Pen) -> None:
    """Draw a standing dog with a floppy ear."""
    _legs(pen, (18, 30, 54, 64), 62, 8)
    pen.line(16, 50, 4, 28, fill=pen.main, width=7)
    pen.box(12, 44, 74, 70, pen.main, 11)
    pen.oval(58, 16, 92, 52, pen.main)
    pen.box(80, 32, 100, 46, pen.light, 6)
    pen.oval(56, 18, 70, 50, pen.dark)
    pen.disc(80, 28, 3.5, INK)
    pen.disc(98, 35, 3.5, INK)


def horse(pen: Pen) -> None:
    """Draw a horse with a mane."""
    _legs(pen, (18, 28, 58, 67), 58, 7)
    pen.poly(14, 46, 2, 54, 4, 82, 12, 70, fill=pen.dark)
    pen.oval(10, 38, 78, 68, pen.main)
    pen.poly(58, 46, 72, 12, 86, 12, 80, 54, fill=pen.main)
    pen.poly(72, 8, 84, 6, 100, 26, 92, 34, 76, 24, fill=pen.main)
    pen.poly(56, 42, 68, 8, 76, 8, 66, 44, fill=pen.dark)
    pen.disc(84, 17, 2.8, INK)


def sheep(pen: Pen) -> None:
    """Draw a sheep: a fleece of curls and a dark face."""
    for x in (24, 36, 58, 68):
        pen.box(x, 66, x + 7, 94, INK, 2)
    for x, y in ((24, 46), (40, 40), (57, 40), (70, 48), (28, 60), (48, 62), (66, 62)):
        pen.disc(x, y, 15, pen.main)
    pen.oval(20, 42, 74, 66, pen.main)
    pen.oval(72, 28, 96, 60, INK)
    pen.disc(86, 40, 3, CREAM)


def cow(pen: Pen) -> None:
    """Draw a cow with horns and patches."""
    _legs(pen, (14, 26, 56, 66), 64, 8)
    pen.box(8, 36, 76, 70, pen.main, 8)
    pen.oval(18, 40, 38, 58, CREAM if sum(pen.main) < 600 else INK)
    pen.oval(46, 46, 62, 64, CREAM if sum(pen.main) < 600 else INK)
    pen.line(8, 40, 3, 70, fill=pen.dark, width=3)
    pen.line(72, 26, 68, 14, fill=STEEL, width=5)
    pen.line(90, 26, 95, 14, fill=STEEL, width=5)
    pen.box(68, 24, 94, 58, pen.main, 8)
    pen.box(70, 46, 98, 60, (238, 176, 168), 5)
    pen.disc(80, 36, 3, INK)


def teddy_bear(pen: Pen) -> None:
    """Draw a sitting teddy bear."""
    for x in (30, 70):
        pen.disc(x, 14, 11, pen.dark)
        pen.disc(x, 88, 11, pen.dark)
    for x in (18, 82):
        pen.disc(x, 56, 10, pen.main)
    pen.oval(24, 42, 76, 94, pen.main)
    pen.oval(36, 54, 64, 84, pen.light)
    pen.disc(50, 28, 23, pen.main)
    pen.oval(40, 30, 60, 46, CREAM)
    for x in (41, 59):
        pen.disc(x, 24, 3, INK)
    pen.disc(50, 35, 3.5, WOOD)
