"""Figures as files, for the screen and for print; the colours all of them share."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from halluc.errors import UserError, needs_packages
from halluc.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

KINDS = (".png", ".pdf", ".svg")

# Okabe and Ito, Color Universal Design (2008): told apart with any kind of colour vision.
GREEN, ORANGE, BLUE, GREY = "#009E73", "#D55E00", "#0072B2", "#6b6b6b"

_STAMPS = {".png": {"Software": None}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
_FOR_PRINT = {"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "halluc"}


def checked_figure(file: Path) -> Path:
    """Check the name of a figure's file.

    Raises:
        UserError: If it ends in none of .png, .pdf and .svg, or matplotlib is missing.
    """
    needs_packages("--figure", "matplotlib")
    if file.suffix.lower() not in KINDS:
        raise UserError(f"--figure {str(file)!r}: give a name that ends in {', '.join(KINDS)}")
    return file


def write_figure(figure: Figure, file: Path, dpi: int = 130) -> None:
    """Write a figure whole, the same bytes for the same figure; make its folder.

    Args:
        figure: With a canvas.
        file: Its ending says which kind: PNG, or PDF or SVG, which have no dots and whose letters
            are letters (PDF: TrueType, as publishers ask for).
        dpi: Of a PNG, and of what is a picture in the others.
    """
    import matplotlib

    drawn, kind = io.BytesIO(), file.suffix.lower()
    with matplotlib.rc_context(_FOR_PRINT):  # type: ignore[arg-type]  # its keys are literals
        figure.savefig(drawn, format=kind[1:], dpi=dpi, metadata=_STAMPS[kind])
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, drawn.getvalue())
