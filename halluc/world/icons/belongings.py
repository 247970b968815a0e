"""Icons of things people carry, ride on and play with."""

from __future__ import annotations

from halluc.world.icons.pen import CREAM, GLASS, INK, LAMP, STEEL, WOOD, Pen


def backpack(pen: Pen) -> None:
    """Draw a backpack."""
    pen.arc(36, 2, 64, 30, 180, 360, INK, 5)
    pen.box(10, 46, 26, 84, pen.dark, 6)
    pen.box(74, 46, 90, 84, pen.dark, 6)
    pen.box(20, 14, 80, 94, pen.main, 18)
    pen.box(30, 56, 70, 86, pen.light, 6)
    pen.line(30, 40, 70, 40, fill=INK, width=3)


def umbrella(pen: Pen) -> None:
    """Draw an open umbrella."""
    pen.line(50, 8, 50, 88, fill=WOOD, width=4)
    pen.arc(50, 78, 66, 96, 0, 180, WOOD, 4)
    pen.pie(4, 8, 96, 96, 180, 360, pen.main)
    pen.pie(34, 8, 66, 96, 180, 360, pen.light)


def handbag(pen: Pen) -> None:
    """Draw a handbag."""
    pen.arc(28, 6, 72, 66, 180, 360, pen.dark, 6)
    pen.poly(16, 38, 84, 38, 94, 92, 6, 92, fill=pen.main)
    pen.box(16, 38, 84, 54, pen.dark, 3)
    pen.disc(50, 56, 6, LAMP)


def skis(pen: Pen) -> None:
    """Draw a pair of skis, crossed, with poles."""
    pen.line(18, 96, 70, 8, 80, 4, fill=pen.main, width=9)
    pen.line(82, 96, 30, 8, 20, 4, fill=pen.dark, width=9)
    pen.line(8, 92, 8, 26, fill=INK, width=3)
    pen.line(92, 92, 92, 26, fill=INK, width=3)


def snowboard(pen: Pen) -> None:
    """Draw a snowboard."""
    pen.box(36, 2, 64, 98, pen.main, 14)
    pen.box(36, 26, 64, 34, INK)
    pen.box(36, 64, 64, 72, INK)
    pen.box(47, 40, 53, 58, pen.light)


def sports_ball(pen: Pen) -> None:
    """Draw a ball with seams."""
    pen.disc(50, 50, 42, pen.main)
    pen.poly(50, 34, 65, 45, 59, 62, 41, 62, 35, 45, fill=pen.dark)
    for x, y in ((50, 8), (90, 40), (75, 84), (25, 84), (10, 40)):
        pen.line(50 + (x - 50) * 0.4, 50 + (y - 50) * 0.4, x, y, fill=pen.dark, width=3)


def kite(pen: Pen) -> None:
    """Draw a diamond kite with a tail."""
    pen.line(50, 66, 60, 78, 46, 86, 58, 98, fill=INK, width=3)
    pen.poly(50, 2, 82, 30, 50, 70, 18, 30, fill=pen.main)
    pen.poly(50, 2, 82, 30, 50, 30, fill=pen.light)
    pen.poly(50, 70, 18, 30, 50, 30, fill=pen.dark)


def surfboard(pen: Pen) -> None:
    """Draw a surfboard standing on its tail."""
    pen.oval(32, -2, 68, 108, pen.main)
    pen.box(47, 4, 53, 96, CREAM)
    pen.poly(60, 92, 76, 99, 60, 99, fill=pen.dark)


def laptop(pen: Pen) -> None:
    """Draw an open laptop."""
    pen.box(18, 16, 82, 66, pen.main, 4)
    pen.box(24, 22, 76, 60, GLASS, 2)
    pen.poly(16, 68, 84, 68, 98, 86, 2, 86, fill=pen.light)
    pen.poly(26, 71, 74, 71, 80, 79, 20, 79, fill=INK)


def cell_phone(pen: Pen) -> None:
    """Draw a cell phone."""
    pen.box(28, 2, 72, 98, pen.main, 9)
    pen.box(34, 14, 66, 80, GLASS, 2)
    pen.disc(50, 89, 4.5, pen.light)


def book(pen: Pen) -> None:
    """Draw an open book."""
    pen.poly(2, 24, 50, 34, 98, 24, 98, 80, 50, 90, 2, 80, fill=pen.main)
    pen.poly(9, 18, 50, 30, 50, 82, 9, 72, fill=CREAM)
    pen.poly(91, 18, 50, 30, 50, 82, 91, 72, fill=CREAM)
    for y in (32, 44, 56):
        pen.line(16, y, 43, y + 8, fill=STEEL, width=3)
        pen.line(84, y, 57, y + 8, fill=STEEL, width=3)


def clock(pen: Pen) -> None:
    """Draw a round wall clock."""
    pen.disc(50, 50, 46, pen.main)
    pen.disc(50, 50, 36, CREAM)
    for x, y in ((50, 20), (80, 50), (50, 80), (20, 50)):
        pen.disc(x, y, 3, INK)
    pen.line(50, 50, 50, 26, fill=INK, width=5)
    pen.line(50, 50, 68, 58, fill=INK, width=5)
