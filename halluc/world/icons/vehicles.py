"""Icons of vehicles and street furniture."""

from __future__ import annotations

from halluc.world.icons.pen import CREAM, GLASS, INK, LAMP, STEEL, WOOD, Pen


def _wheel(pen: Pen, x: float, y: float, radius: float) -> None:
    pen.disc(x, y, radius, INK)
    pen.disc(x, y, radius * 0.45, STEEL)


def bicycle(pen: Pen) -> None:
    """Draw a bicycle."""
    for x in (24, 76):
        pen.arc(x - 20, 42, x + 20, 82, 0, 360, INK, 5)
    pen.line(24, 62, 40, 36, 68, 36, 50, 62, 24, 62, fill=pen.main, width=6)
    pen.line(50, 62, 38, 30, fill=pen.main, width=6)
    pen.line(76, 62, 66, 26, 76, 22, fill=pen.dark, width=5)
    pen.box(29, 25, 46, 31, INK, 3)


def car(pen: Pen) -> None:
    """Draw a car, side on."""
    pen.poly(22, 50, 34, 30, 66, 30, 80, 50, fill=pen.light)
    pen.poly(30, 49, 38, 35, 49, 35, 49, 49, fill=GLASS)
    pen.poly(53, 49, 53, 35, 63, 35, 71, 49, fill=GLASS)
    pen.box(5, 48, 95, 70, pen.main, 9)
    pen.box(88, 53, 95, 60, LAMP, 2)
    _wheel(pen, 26, 70, 11)
    _wheel(pen, 74, 70, 11)


def motorcycle(pen: Pen) -> None:
    """Draw a motorcycle."""
    _wheel(pen, 22, 68, 17)
    _wheel(pen, 78, 68, 17)
    pen.line(78, 68, 64, 30, 54, 28, fill=STEEL, width=6)
    pen.box(34, 52, 60, 70, STEEL, 5)
    pen.poly(20, 50, 34, 42, 62, 36, 70, 48, 60, 56, 30, 58, fill=pen.main)
    pen.box(16, 40, 44, 48, INK, 4)
    pen.disc(68, 36, 6, LAMP)


def airplane(pen: Pen) -> None:
    """Draw an airplane in flight."""
    pen.poly(12, 26, 24, 26, 34, 46, 16, 46, fill=pen.dark)
    pen.oval(8, 40, 96, 62, pen.main)
    pen.poly(44, 52, 62, 52, 44, 86, 32, 86, fill=pen.dark)
    pen.poly(48, 43, 60, 43, 50, 22, 41, 22, fill=pen.light)
    for x in (40, 52, 64):
        pen.disc(x, 48, 2.8, GLASS)
    pen.poly(80, 43, 90, 48, 80, 49, fill=GLASS)


def bus(pen: Pen) -> None:
    """Draw a bus, side on."""
    pen.box(4, 20, 96, 74, pen.main, 8)
    for x in (9, 27, 45, 63):
        pen.box(x, 28, x + 14, 46, GLASS, 2)
    pen.box(80, 28, 92, 68, GLASS, 2)
    pen.box(4, 54, 78, 60, pen.light)
    _wheel(pen, 24, 75, 10)
    _wheel(pen, 68, 75, 10)


def train(pen: Pen) -> None:
    """Draw a train's engine on its rails."""
    pen.box(0, 80, 100, 85, WOOD)
    pen.poly(2, 22, 70, 22, 92, 40, 98, 70, 2, 70, fill=pen.main)
    pen.poly(70, 27, 86, 41, 70, 41, fill=GLASS)
    for x in (8, 28, 48):
        pen.box(x, 29, x + 15, 43, GLASS, 2)
    pen.box(2, 51, 96, 57, CREAM)
    for x in (14, 34, 54, 74):
        _wheel(pen, x, 74, 7)


def truck(pen: Pen) -> None:
    """Draw a truck with a box behind its cab."""
    pen.box(3, 18, 62, 68, pen.main, 2)
    pen.poly(64, 34, 84, 34, 96, 52, 96, 68, 64, 68, fill=pen.dark)
    pen.poly(69, 39, 82, 39, 89, 51, 69, 51, fill=GLASS)
    pen.box(3, 66, 96, 72, INK)
    _wheel(pen, 18, 73, 11)
    _wheel(pen, 44, 73, 11)
    _wheel(pen, 80, 73, 11)


def boat(pen: Pen) -> None:
    """Draw a sailing boat."""
    pen.box(46, 6, 50, 66, WOOD)
    pen.poly(51, 8, 51, 58, 86, 58, fill=CREAM)
    pen.poly(45, 16, 45, 58, 18, 58, fill=pen.light)
    pen.poly(6, 64, 94, 64, 80, 88, 22, 88, fill=pen.main)


def traffic_light(pen: Pen) -> None:
    """Draw a traffic light on its pole."""
    pen.box(46, 66, 54, 100, STEEL)
    pen.box(30, 2, 70, 70, pen.main, 8)
    for y, lamp in ((16, (228, 52, 48)), (36, (250, 196, 52)), (56, (60, 186, 90))):
        pen.disc(50, y, 8.5, lamp)


def fire_hydrant(pen: Pen) -> None:
    """Draw a fire hydrant."""
    pen.box(22, 84, 78, 96, pen.dark, 3)
    pen.box(34, 32, 66, 86, pen.main, 3)
    pen.pie(30, 8, 70, 56, 180, 360, pen.main)
    pen.box(16, 46, 84, 60, pen.dark, 4)
    pen.disc(50, 53, 8, STEEL)
    pen.box(45, 3, 55, 12, pen.dark, 2)


def stop_sign(pen: Pen) -> None:
    """Draw an octagonal sign with a white bar."""
    pen.box(46, 50, 54, 100, STEEL)
    pen.poly(34, 2, 66, 2, 86, 22, 86, 50, 66, 70, 34, 70, 14, 50, 14, 22, fill=pen.main)
    pen.box(24, 30, 76, 42, CREAM if sum(pen.main) < 700 else INK)


def bench(pen: Pen) -> None:
    """Draw a park bench."""
    for y in (34, 46):
        pen.box(6, y, 94, y + 9, pen.main, 2)
    pen.box(2, 60, 98, 69, pen.light, 2)
    for x in (12, 82):
        pen.box(x, 30, x + 6, 88, INK)
